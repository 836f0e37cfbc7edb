"""GateService: doors for sandboxes, and how the gate is."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
from stockade.networkpolicy.v1 import gate_service_pb2 as pb
from stockade.networkpolicy.v1 import gate_service_pb2_grpc
from stockade_audit import Action
from stockade_rpckit.errors import Failure
from stockade_rpckit.recording import current_record

from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.domain.hostname import PatternInvalid, canonical_pattern
from stockade_network_policy.gate.door import Door, NetworkMode
from stockade_network_policy.gate.errors import (
    DoorExists,
    DoorMisplaced,
    DoorNotFound,
    DoorRefused,
    GateUnavailable,
)
from stockade_network_policy.gate.gate import Gate
from stockade_network_policy.handlers.failures import invalid_request
from stockade_network_policy.handlers.paging import last_shown, page_token
from stockade_network_policy.traffic import TrafficBook

_DEFAULT_PAGE = 100
_MUTABLE = {"allowed_domains", "network_mode"}


class GateHandler(gate_service_pb2_grpc.GateServiceServicer):
    """Answers GateService."""

    def __init__(self, gate: Gate, catalogue: Catalogue, traffic: TrafficBook) -> None:
        self._gate = gate
        self._catalogue = catalogue
        self._traffic = traffic

    async def OpenDoor(self, request: pb.OpenDoorRequest, context: Any) -> pb.OpenDoorResponse:
        """Open the doors of a sandbox."""
        asked = request.door
        door = Door(
            sandbox=asked.sandbox,
            agent=asked.agent,
            agent_type=asked.agent_type,
            egress_socket=asked.egress_socket,
            api_socket=asked.api_socket,
            narrowing=self._narrowing(asked.agent_type, asked.allowed_domains),
            network_mode=_mode(asked),
        )
        current_record().set(action=Action.DOOR_OPENED, metadata=_described(door))
        return pb.OpenDoorResponse(door=_told(await self._gate.doors.open(door)))

    async def UpdateDoor(self, request: pb.UpdateDoorRequest, context: Any) -> pb.UpdateDoorResponse:
        """Change what a door lets through."""
        paths = set(request.update_mask.paths) or _MUTABLE
        if unknown := paths - _MUTABLE:
            raise invalid_request(
                "update_mask", f"{', '.join(sorted(unknown))} cannot be changed; {', '.join(_MUTABLE)} can"
            )
        door = await self._gate.doors.update(request.door.sandbox, self._change(request.door, paths))
        current_record().set(agent=door.agent, agent_type=door.agent_type, metadata=_described(door))
        return pb.UpdateDoorResponse(door=_told(door))

    async def CloseDoor(self, request: pb.CloseDoorRequest, context: Any) -> pb.CloseDoorResponse:
        """Take the doors of a sandbox."""
        door = self._gate.doors.get(request.sandbox)
        if door:
            current_record().set(agent=door.agent, agent_type=door.agent_type)
        current_record().set(action=Action.DOOR_CLOSED)
        await self._gate.doors.close(request.sandbox)
        return pb.CloseDoorResponse()

    async def ListDoors(self, request: pb.ListDoorsRequest, context: Any) -> pb.ListDoorsResponse:
        """List the doors that should be open."""
        after = last_shown(request.page_token, "doors")
        size = request.page_size or _DEFAULT_PAGE
        doors = [door for door in self._gate.doors.all() if door.sandbox > after]
        answer = pb.ListDoorsResponse(doors=map(_told, doors[:size]))
        if len(doors) > size:
            answer.next_page_token = page_token("doors", doors[size - 1].sandbox)
        return answer

    async def GetDoor(self, request: pb.GetDoorRequest, context: Any) -> pb.GetDoorResponse:
        """Tell one sandbox's door, and what went through it."""
        door = self._gate.doors.get(request.sandbox)
        if door is None:
            raise DoorNotFound(request.sandbox)
        traffic = self._traffic.of(request.sandbox)
        return pb.GetDoorResponse(
            door=_told(door),
            traffic=pb.DoorTraffic(
                sent_bytes=traffic.sent,
                received_bytes=traffic.received,
                allowed_requests=traffic.allowed,
                refused_requests=traffic.refused,
            ),
        )

    async def GetGateStatus(self, request: pb.GetGateStatusRequest, context: Any) -> pb.GetGateStatusResponse:
        """Tell how the gate is."""
        announcer, judge = self._gate.announcer, self._gate.judge
        answer = pb.GetGateStatusResponse(
            state=pb.GATE_STATE_DISCONNECTED,
            doors=len(self._gate.doors.all()),
            doors_ready=self._gate.doors.ready(),
            last_refusal=announcer.last_refusal,
            judged=judge.judged,
            refused=judge.refused,
            awaiting_outcome=self._gate.awaiting_outcome,
            exceptions=self._gate.settings.exceptions,
        )
        answer.cut_within.FromSeconds(1)
        if announcer.connection:
            ready = answer.doors == answer.doors_ready
            answer.state = pb.GATE_STATE_READY if ready else pb.GATE_STATE_SYNCHRONISING
            answer.envoy_version = announcer.connection.envoy_version
            answer.connect_time.FromNanoseconds(announcer.connection.since_ns)
        return answer

    async def CutTunnels(self, request: pb.CutTunnelsRequest, context: Any) -> pb.CutTunnelsResponse:
        """End the open connections of some sandboxes."""
        cut = await self._gate.doors.cut(request.sandboxes)
        current_record().set(metadata={"sandboxes": ",".join(cut)[:1024]})
        return pb.CutTunnelsResponse(sandboxes=cut)

    def _change(self, asked: pb.Door, paths: set[str]) -> Callable[[Door], Door]:
        def change(door: Door) -> Door:
            fields: dict[str, Any] = {}
            if "network_mode" in paths:
                fields |= {"network_mode": _mode(asked), "egress_socket": asked.egress_socket or door.egress_socket}
            if "allowed_domains" in paths:
                fields["narrowing"] = self._narrowing(door.agent_type, asked.allowed_domains)
            return dataclasses.replace(door, **fields)

        return change

    def _narrowing(self, agent_type: str, domains: Iterable[str]) -> tuple[str, ...] | None:
        """The canonical patterns of a request, which must lie within the type's policy; None for none."""
        rules = self._catalogue.rules(agent_type)
        patterns = tuple(_pattern(domain) for domain in domains)
        if rules.policy.block_unknown_domains:
            for pattern in patterns:
                if not rules.domains.covers(pattern):
                    raise _outside(pattern, rules.policy.agent_type)
        return patterns or None


def describe_door(request: Any) -> Mapping[str, Any]:
    """What OpenDoor and UpdateDoor say for the audit record."""
    door = request.door
    return {"sandbox": door.sandbox, "agent": door.agent, "agent_type": door.agent_type}


DESCRIBE = {"OpenDoor": describe_door, "UpdateDoor": describe_door}

FAILURES: dict[type[Exception], Callable[[Exception], Failure]] = {
    DoorExists: lambda error: _failure(grpc.StatusCode.ALREADY_EXISTS, "DOOR_EXISTS", error),
    DoorNotFound: lambda error: _failure(grpc.StatusCode.NOT_FOUND, "DOOR_NOT_FOUND", error),
    DoorRefused: lambda error: _failure(grpc.StatusCode.FAILED_PRECONDITION, "DOOR_REFUSED", error),
    DoorMisplaced: lambda error: invalid_request("door", str(error)),
    GateUnavailable: lambda error: _failure(grpc.StatusCode.UNAVAILABLE, "GATE_UNAVAILABLE", error),
}


def _failure(code: grpc.StatusCode, reason: str, error: Exception) -> Failure:
    facts = {name: str(value) for name, value in vars(error).items()}
    return Failure(code, reason, str(error), metadata=facts)


def _outside(pattern: str, policy: str) -> Failure:
    message = (
        f"{pattern} is not within the policy of {policy}; a sandbox may narrow its type's domains, never widen them"
    )
    facts = {"domain": pattern, "policy": policy}
    return Failure(grpc.StatusCode.INVALID_ARGUMENT, "DOMAIN_NOT_IN_POLICY", message, metadata=facts)


def _pattern(domain: str) -> str:
    try:
        return canonical_pattern(domain)
    except PatternInvalid as error:
        raise invalid_request("door.allowed_domains", f"{error}; {error.mend}") from error


def _mode(asked: pb.Door) -> NetworkMode:
    return NetworkMode(pb.NetworkMode.Name(asked.network_mode).removeprefix("NETWORK_MODE_"))


def _told(door: Door) -> pb.Door:
    told = pb.Door(
        sandbox=door.sandbox,
        agent=door.agent,
        agent_type=door.agent_type,
        egress_socket=door.egress_socket,
        api_socket=door.api_socket,
        allowed_domains=door.narrowing or (),
        network_mode=f"NETWORK_MODE_{door.network_mode}",
        cuts=door.cuts,
    )
    told.create_time.FromNanoseconds(door.created_ns)
    return told


def _described(door: Door) -> dict[str, str]:
    return {"network_mode": str(door.network_mode), "allowed_domains": ",".join(door.narrowing or ())[:1024]}
