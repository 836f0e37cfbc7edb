"""FindingService."""

from typing import Any

from stockade.audit.v1 import finding_service_pb2 as findings
from stockade.audit.v1 import finding_service_pb2_grpc
from stockade_rpckit import threads
from stockade_rpckit.identity import current_principal
from stockade_rpckit.recording import current_record

from stockade_audit import Action
from stockade_audit.daemon.domain.finding import KINDS, Finding
from stockade_audit.daemon.domain.query import Cursor
from stockade_audit.daemon.findings import ALERTS, Findings
from stockade_audit.daemon.handlers.messages import timestamp


class FindingHandler(finding_service_pb2_grpc.FindingServiceServicer):  # type: ignore[misc]
    """What rules have noticed, and what people made of it."""

    def __init__(self, kept: Findings) -> None:
        self._findings = kept

    async def ListFindings(self, request: findings.ListFindingsRequest, _context: Any) -> findings.ListFindingsResponse:
        states = frozenset(findings.FindingState.Name(s).removeprefix("FINDING_STATE_") for s in request.states)
        digest = f"{ALERTS.digest}{sorted(states)}"
        after = Cursor.parse(request.page_token, digest) if request.page_token else None
        found, following = await threads.run(self._findings.page, states, request.page_size or 100, after)
        return findings.ListFindingsResponse(
            findings=map(_message, found), next_page_token=following.token(digest) if following else ""
        )

    async def AcknowledgeFinding(
        self, request: findings.AcknowledgeFindingRequest, _context: Any
    ) -> findings.AcknowledgeFindingResponse:
        finding = await threads.run(self._findings.get, request.id)
        if finding.state == "OPEN":
            finding = await self._move(finding, Action.ACKNOWLEDGED, "", request.note)
        return findings.AcknowledgeFindingResponse(finding=_message(finding))

    async def DisposeFinding(
        self, request: findings.DisposeFindingRequest, _context: Any
    ) -> findings.DisposeFindingResponse:
        disposition = findings.Disposition.Name(request.disposition).removeprefix("DISPOSITION_")
        finding = await threads.run(self._findings.get, request.id)
        if (finding.state, finding.disposition, finding.note) != ("DISPOSED", disposition, request.note):
            finding = await self._move(finding, Action.DISPOSED, disposition, request.note)
        return findings.DisposeFindingResponse(finding=_message(finding))

    async def _move(self, finding: Finding, action: Action, disposition: str, note: str) -> Finding:
        current_record().set(resource=finding.id)
        await self._findings.move(finding, action, current_principal().name, disposition, note)
        return Finding(
            finding.id,
            finding.kind,
            finding.time_ns,
            finding.subject,
            finding.summary,
            finding.entry_ids,
            str(action),
            disposition,
            note,
            finding.steps + 1,
        )


def _message(finding: Finding) -> findings.Finding:
    kind = finding.kind if finding.kind in KINDS else "UNSPECIFIED"
    return findings.Finding(
        id=finding.id,
        kind=f"FINDING_KIND_{kind}",
        state=f"FINDING_STATE_{finding.state}",
        time=timestamp(finding.time_ns),
        subject=finding.subject,
        summary=finding.summary,
        entry_ids=finding.entry_ids,
        disposition=f"DISPOSITION_{finding.disposition or 'UNSPECIFIED'}",
        note=finding.note,
        etag=f"W/{finding.steps}",
    )
