"""FleetService."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from stockade.audit.v1 import fleet_service_pb2 as fleet
from stockade.audit.v1 import fleet_service_pb2_grpc
from stockade_rpckit import threads
from stockade_rpckit.recording import current_record

from stockade_audit import Action
from stockade_audit.daemon.domain.errors import FleetDiffers, FleetNotKept
from stockade_audit.daemon.fleet_check import NodeReport, verify_fleet
from stockade_audit.daemon.fleet_keeper import FleetKeeper, node_of
from stockade_audit.daemon.handlers.messages import timestamp
from stockade_audit.fleet import Member
from stockade_audit.head import Head
from stockade_audit.verification import Verdict


class FleetHandler(fleet_service_pb2_grpc.FleetServiceServicer):  # type: ignore[misc]
    """The record of all nodes."""

    def __init__(self, keeper: FleetKeeper | None) -> None:
        """Without a keeper, each call is answered with who is to be asked."""
        self._keeper = keeper

    async def VerifyFleet(
        self, _request: fleet.VerifyFleetRequest, _context: Any
    ) -> AsyncIterator[fleet.VerifyFleetResponse]:
        keeper = self._kept()
        with suppress(FleetDiffers):  # the reports are about that
            await threads.run(keeper.sign)
        reports, problems = verify_fleet(keeper), 0
        while (found := await threads.run(next, reports, None)) is not None:
            problems += found.report.verdict is not Verdict.INTACT
            yield _report_message(found)
        current_record().set(action=Action.READ, reason="DAMAGED" if problems else "INTACT")
        current_record().set(metadata={"problems": problems})

    async def ListFleetNodes(self, request: fleet.ListFleetNodesRequest, _context: Any) -> fleet.ListFleetNodesResponse:
        keeper, size = self._kept(), request.page_size or 100
        standing = await threads.run(keeper.standing)
        heads = await threads.run(keeper.fleet.last_heads)
        rest = sorted(origin for origin in standing.members if node_of(origin) > request.page_token)
        shown = [standing.members[origin] for origin in rest[:size]]
        return fleet.ListFleetNodesResponse(
            nodes=[_node_message(m, heads.get(m.origin), keeper.wrong.get(node_of(m.origin), "")) for m in shown],
            next_page_token=node_of(shown[-1].origin) if len(rest) > size else "",
            note=standing.last.note if standing.last else b"",
            key=str(keeper.key.verifier),
            problem=keeper.problem,
        )

    async def RetireFleetNode(
        self, request: fleet.RetireFleetNodeRequest, _context: Any
    ) -> fleet.RetireFleetNodeResponse:
        keeper = self._kept()
        current_record().set(action=Action.CALLED, reason="NODE_RETIRED", resource=request.node)
        current_record().set(metadata={"justification": request.justification})
        member = await threads.run(keeper.retire, request.node)
        return fleet.RetireFleetNodeResponse(node=_node_message(member, None, ""))

    def _kept(self) -> FleetKeeper:
        if self._keeper is None:
            raise FleetNotKept
        return self._keeper


def _report_message(found: NodeReport) -> fleet.VerifyFleetResponse:
    report = found.report
    return fleet.VerifyFleetResponse(
        node=found.node or "",
        is_fleet=found.node is None,
        journal=report.journal,
        verdict=f"VERDICT_{report.verdict}",
        size=report.size,
        first_bad_position=report.position,
        detail=report.detail,
    )


def _node_message(member: Member, last: Head | None, problem: str) -> fleet.FleetNode:
    return fleet.FleetNode(
        node=node_of(member.origin),
        sequence=member.sequence,
        time=timestamp(last.time_ns) if last is not None else None,
        retired=member.retired,
        problem=problem,
    )
