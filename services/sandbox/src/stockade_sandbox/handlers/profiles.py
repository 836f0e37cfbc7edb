"""ProfileService: tells the ceilings of agent types."""

from grpc.aio import ServicerContext as Context
from stockade.sandbox.v1 import profile_service_pb2 as pb
from stockade.sandbox.v1.profile_service_pb2_grpc import ProfileServiceServicer

from stockade_sandbox.domain.profile import DEFAULT, Catalogue, Profile
from stockade_sandbox.handlers.messages import profile_message
from stockade_sandbox.handlers.paging import page


class ProfileHandler(ProfileServiceServicer):
    """See profile_service.proto."""

    def __init__(self, profiles: Catalogue) -> None:
        self._profiles = profiles

    async def ListProfiles(self, request: pb.ListProfilesRequest, context: Context) -> pb.ListProfilesResponse:
        """Lists the profiles, `default` first."""
        chosen, token = page(self._profiles.all(), _key, "profiles", request.page_size, request.page_token)
        return pb.ListProfilesResponse(profiles=map(profile_message, chosen), next_page_token=token)

    async def GetProfile(self, request: pb.GetProfileRequest, context: Context) -> pb.GetProfileResponse:
        """Tells the profile that a sandbox of an agent type gets."""
        profile, known = self._profiles.find(request.name)
        return pb.GetProfileResponse(profile=profile_message(profile), known=known)


def _key(profile: Profile) -> str:
    """In the order of `Catalogue.all`."""
    return f"{int(profile.name != DEFAULT)}{profile.name}"
