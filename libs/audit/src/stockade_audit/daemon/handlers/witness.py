"""WitnessService."""

from typing import Any

from stockade.audit.v1 import integrity_service_pb2 as integrity
from stockade.audit.v1 import integrity_service_pb2_grpc
from stockade_rpckit import threads
from stockade_rpckit.recording import current_record

from stockade_audit.daemon.background import alert
from stockade_audit.daemon.domain.errors import PageTokenInvalid
from stockade_audit.daemon.domain.finding import Raised
from stockade_audit.daemon.findings import Findings
from stockade_audit.daemon.handlers import messages
from stockade_audit.daemon.witnesses import Witnesses
from stockade_audit.errors import AuditError
from stockade_audit.head import HeadRefused
from stockade_audit.keys import VerifierKey


class WitnessHandler(integrity_service_pb2_grpc.WitnessServiceServicer):  # type: ignore[misc]
    """Heads of other machines, kept."""

    def __init__(self, witnesses: Witnesses, findings: Findings) -> None:
        self._witnesses, self._findings = witnesses, findings
        self._told: dict[str, str] = {}  # by origin, so that a daemon that tries again raises one finding

    async def AddHead(self, request: integrity.AddHeadRequest, _context: Any) -> integrity.AddHeadResponse:
        proofs = {proof.journal: list(proof.hashes) for proof in request.proofs}
        try:
            key = VerifierKey.parse(request.key)
            current_record().set(resource=key.name)
            head = await threads.run(self._witnesses.add, request.note, key, proofs)
        except HeadRefused as refused:
            await self._tell(key.name, f"a head was refused: {refused}")
            raise
        except (AuditError, UnicodeDecodeError) as error:  # no key, no head, or not signed by the one kept
            raise HeadRefused(str(error)) from error
        return integrity.AddHeadResponse(sequence=head.sequence)

    async def _tell(self, origin: str, summary: str) -> None:
        """Raise a finding for an origin that is known here."""
        known = await threads.run(self._witnesses.last, origin) is not None
        if known and self._told.get(origin) != summary:
            self._told[origin] = summary
            await alert(self._findings, Raised("VERIFICATION_FAILED", origin, summary))

    async def GetLatestHead(
        self, request: integrity.GetLatestHeadRequest, _context: Any
    ) -> integrity.GetLatestHeadResponse:
        head = await threads.run(self._witnesses.last, request.origin)
        return integrity.GetLatestHeadResponse(head=messages.head_message(head, True) if head else None)

    async def ListWitnessedHeads(
        self, request: integrity.ListWitnessedHeadsRequest, _context: Any
    ) -> integrity.ListWitnessedHeadsResponse:
        if request.page_token and not request.page_token.isdecimal():
            raise PageTokenInvalid
        size = request.page_size or 100
        found = await threads.run(self._witnesses.page, request.origin, size, int(request.page_token or 0))
        return integrity.ListWitnessedHeadsResponse(
            heads=[messages.head_message(head, True) for head in found],
            next_page_token=str(found[-1].sequence) if len(found) == size else "",
        )
