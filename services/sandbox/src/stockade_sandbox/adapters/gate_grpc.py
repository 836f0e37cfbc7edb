"""The gate, asked over gRPC: GateService of the network-policy service."""

from collections.abc import Awaitable
from typing import Any

import grpc
from stockade.networkpolicy.v1 import gate_service_pb2 as pb
from stockade.networkpolicy.v1.gate_service_pb2_grpc import GateServiceStub
from stockade_rpckit.errors import details_of

from stockade_sandbox.domain.errors import DomainNotInPolicy, GateUnavailable
from stockade_sandbox.domain.ports import Door
from stockade_sandbox.domain.sandbox import NetworkMode
from stockade_sandbox.domain.usage import Network

_CALL_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_PAGE = 1000


class GrpcGate:
    """See `domain.ports.Gate`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = GateServiceStub(channel)  # type: ignore[no-untyped-call]

    async def open(self, door: Door) -> None:
        """See `Gate.open`."""
        await _called(self._stub.OpenDoor(pb.OpenDoorRequest(door=_door(door)), timeout=_CALL_SECONDS))

    async def update(self, door: Door) -> None:
        """See `Gate.update`."""
        await _called(self._stub.UpdateDoor(pb.UpdateDoorRequest(door=_door(door)), timeout=_CALL_SECONDS))

    async def close(self, sandbox: str) -> None:
        """See `Gate.close`."""
        await _called(self._stub.CloseDoor(pb.CloseDoorRequest(sandbox=sandbox), timeout=_CALL_SECONDS))

    async def doors(self) -> set[str]:
        """See `Gate.doors`."""
        found: set[str] = set()
        token = ""
        while True:
            request = pb.ListDoorsRequest(page_size=_PAGE, page_token=token)
            page = await _called(self._stub.ListDoors(request, timeout=_CALL_SECONDS))
            found |= {door.sandbox for door in page.doors}
            token = page.next_page_token
            if not token:
                return found

    async def usage(self, sandbox: str) -> Network:
        """See `Gate.usage`."""
        answer = await _called(self._stub.GetDoor(pb.GetDoorRequest(sandbox=sandbox), timeout=_LOOK_SECONDS))
        traffic = answer.traffic
        return Network(
            sent=traffic.sent_bytes,
            received=traffic.received_bytes,
            allowed=traffic.allowed_requests,
            refused=traffic.refused_requests,
        )


async def _called(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        found = details_of(error)
        if found.get("reason") == "DOMAIN_NOT_IN_POLICY":
            raise DomainNotInPolicy(str(found["message"])) from error
        unheard = error.code() is grpc.StatusCode.UNAVAILABLE and "reason" not in found
        raise GateUnavailable("network-policy does not answer" if unheard else str(found["message"])) from error


def _door(door: Door) -> pb.Door:
    return pb.Door(
        sandbox=door.sandbox,
        agent=door.agent,
        agent_type=door.agent_type,
        egress_socket=str(door.egress_socket) if door.network_mode is NetworkMode.WHITELISTED else "",
        api_socket=str(door.api_socket),
        allowed_domains=door.allowed_domains,
        network_mode=f"NETWORK_MODE_{door.network_mode.name}",
    )
