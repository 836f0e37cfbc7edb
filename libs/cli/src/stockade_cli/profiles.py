"""`stockade profiles`: what each agent type may use."""

import click
from stockade.sandbox.v1 import profile_service_pb2, profile_service_pb2_grpc, sandbox_pb2

from stockade_cli.connection import stub
from stockade_cli.durations import show_bytes
from stockade_cli.names import short_name
from stockade_cli.output import json_option, print_json, print_table, say


@click.command()
@click.argument("agent_type", required=False)
@json_option
def profiles(agent_type: str | None, as_json: bool) -> None:
    """Show what each agent type may use, or AGENT_TYPE alone.

    A type without a profile of its own gets `default`.
    """
    with stub(profile_service_pb2_grpc.ProfileServiceStub, "sandbox") as service:
        if agent_type is None:
            found = list(service.ListProfiles(profile_service_pb2.ListProfilesRequest(page_size=1000)).profiles)
        else:
            answer = service.GetProfile(profile_service_pb2.GetProfileRequest(name=agent_type))
            found = [answer.profile]
            if not answer.known:
                say(f"stockade: {agent_type} has no profile of its own and gets default")
    if as_json:
        print_json(found)
    else:
        print_table(("TYPE", "CLASS", "CPU", "MEMORY", "DISK", "PIDS", "TIER", "NETWORK"), map(_row, found))


def _row(profile: profile_service_pb2.Profile) -> tuple[object, ...]:
    limits = profile.limits
    return (
        profile.name,
        getattr(profile, "class"),  # a keyword here, a field there
        f"{limits.cpu:g}",
        show_bytes(limits.memory_bytes),
        show_bytes(limits.disk_bytes),
        limits.pids,
        short_name(sandbox_pb2.Tier, profile.tier),
        short_name(sandbox_pb2.NetworkMode, profile.network_mode),
    )
