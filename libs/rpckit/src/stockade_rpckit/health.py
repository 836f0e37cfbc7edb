"""What a process says of itself by gRPC's health protocol."""

from collections.abc import Callable, Mapping

from grpc.aio import ServicerContext
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

_STATUSES = {True: HealthCheckResponse.SERVING, False: HealthCheckResponse.NOT_SERVING}


class Health(HealthServicer):
    """Names whose status is set, and names that are looked at in the moment in which they are asked for.

    Once it leaves (`enter_graceful_shutdown`), nothing serves any more.
    """

    def __init__(self, looked_at: Mapping[str, Callable[[], bool]]) -> None:
        super().__init__()
        self._looked_at = looked_at

    async def tell(self, name: str, serves: bool) -> None:
        """Set the status of a name."""
        await self.set(name, _STATUSES[serves])

    async def Check(
        self, request: HealthCheckRequest, context: "ServicerContext[HealthCheckRequest, HealthCheckResponse]"
    ) -> HealthCheckResponse:
        """See the protocol. A name that is not known is NOT_FOUND."""
        if (serves := self._looked_at.get(request.service)) is not None:
            await self.tell(request.service, serves())
        return await super().Check(request, context)
