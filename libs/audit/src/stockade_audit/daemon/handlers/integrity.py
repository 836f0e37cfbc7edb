"""IntegrityService."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from stockade.audit.v1 import integrity_service_pb2 as integrity
from stockade.audit.v1 import integrity_service_pb2_grpc
from stockade_rpckit import threads
from stockade_rpckit.recording import current_record

from stockade_audit import Action
from stockade_audit.daemon.background import alert
from stockade_audit.daemon.domain.errors import PageTokenInvalid
from stockade_audit.daemon.domain.finding import Raised
from stockade_audit.daemon.evidence.pack import build
from stockade_audit.daemon.findings import Findings
from stockade_audit.daemon.handlers import messages
from stockade_audit.daemon.record import Record
from stockade_audit.daemon.status import SinkStatus, journal_statuses, sink_statuses
from stockade_audit.errors import AuditError
from stockade_audit.head import Head
from stockade_audit.verification import Report, Verdict

ROTATION_S: Final = 5.0


class IntegrityHandler(integrity_service_pb2_grpc.IntegrityServiceServicer):  # type: ignore[misc]
    """Proof that the record is what was written."""

    def __init__(self, record: Record, findings: Findings, key_path: Path) -> None:
        """`key_path` is where the heads' key lies."""
        self._record, self._findings, self._key_path = record, findings, key_path
        self._told: set[str] = set()  # problems of which a finding was raised since the start

    async def VerifyRecord(
        self, request: integrity.VerifyRecordRequest, _context: Any
    ) -> AsyncIterator[integrity.VerifyRecordResponse]:
        with suppress(AuditError, OSError):  # what the witness lacks or refuses is what the reports are about
            await threads.run(self._record.keeper.sign)  # what is indexed by now is to be checked as well
            await threads.run(self._record.keeper.hand_over)
        last = self._record.keeper.witnessed
        reports = self._record.verify(tuple(request.journals))
        problems = []
        while (report := await threads.run(next, reports, None)) is not None:
            if report.verdict is not Verdict.INTACT:
                problems.append(f"{report.journal or 'heads'}: {report.detail}")
                await self._tell(report)
            yield _report_message(report, last)
        current_record().set(action=Action.READ, reason="DAMAGED" if problems else "INTACT")
        current_record().set(metadata={"problems": "; ".join(problems)} if problems else {})

    async def _tell(self, report: Report) -> None:
        """Raise a finding, once for each thing that is wrong."""
        told = f"{report.verdict} at {report.position}: {report.detail}"
        if told not in self._told:
            self._told.add(told)
            await alert(self._findings, Raised("VERIFICATION_FAILED", report.journal or "heads", told))

    async def GetInclusionProof(
        self, request: integrity.GetInclusionProofRequest, _context: Any
    ) -> integrity.GetInclusionProofResponse:
        current_record().set(action=Action.READ, resource=request.id)
        row, proof = await threads.run(self._record.inclusion, request.id, request.size)
        indexed = await threads.run(self._record.index.indexed)
        return integrity.GetInclusionProofResponse(
            journal=row.slot,
            position=row.position,
            size=proof.size,
            root=proof.root,
            hashes=proof.hashes,
            indexed_through=messages.indexed_messages(indexed),
        )

    async def GetConsistencyProof(
        self, request: integrity.GetConsistencyProofRequest, _context: Any
    ) -> integrity.GetConsistencyProofResponse:
        old_root, proof = await threads.run(
            self._record.consistency, request.journal, request.old_size, request.new_size
        )
        indexed = await threads.run(self._record.index.indexed)
        return integrity.GetConsistencyProofResponse(
            old_root=old_root,
            new_size=proof.size,
            new_root=proof.root,
            hashes=proof.hashes,
            indexed_through=messages.indexed_messages(indexed),
        )

    async def ListHeads(self, request: integrity.ListHeadsRequest, _context: Any) -> integrity.ListHeadsResponse:
        size = request.page_size or 100
        page = await threads.run(self._record.heads.page, size, _sequence(request.page_token))
        indexed = await threads.run(self._record.index.indexed)
        return integrity.ListHeadsResponse(
            heads=[messages.head_message(head, witnessed) for head, witnessed in page],
            next_page_token=str(page[-1][0].sequence) if len(page) == size else "",
            indexed_through=messages.indexed_messages(indexed),
        )

    async def GetRecordStatus(
        self, _request: integrity.GetRecordStatusRequest, _context: Any
    ) -> integrity.GetRecordStatusResponse:
        journals = await threads.run(journal_statuses, self._record)
        sinks = await threads.run(sink_statuses, self._record)
        return integrity.GetRecordStatusResponse(
            journals=[
                integrity.JournalStatus(journal=j.slot, indexed=j.indexed, witnessed=j.witnessed, copied=j.copied)
                for j in journals
            ],
            sinks=map(_sink_message, sinks),
        )

    async def BuildEvidence(
        self, request: integrity.BuildEvidenceRequest, _context: Any
    ) -> AsyncIterator[integrity.BuildEvidenceResponse]:
        start_ns, end_ns = messages.time_ns_of(request, "start_time"), messages.time_ns_of(request, "end_time")
        current_record().set(action=Action.READ)
        parts = build(self._record, start_ns, end_ns, request.seed, request.sample_size or 100)
        while (chunk := await threads.run(next, parts, None)) is not None:
            yield integrity.BuildEvidenceResponse(chunk=chunk)

    async def RotateKey(self, request: integrity.RotateKeyRequest, _context: Any) -> integrity.RotateKeyResponse:
        current_record().set(action=Action.KEY_ROTATED)
        if request.journal:
            key = await threads.run(self._record.rotate, request.journal, ROTATION_S)
        else:
            key = str(await threads.run(self._record.keeper.rotate, self._key_path))
        return integrity.RotateKeyResponse(key=key)

    async def ListKeys(self, _request: integrity.ListKeysRequest, _context: Any) -> integrity.ListKeysResponse:
        indexed = await threads.run(self._record.index.indexed)
        heads = dict.fromkeys((str(self._record.key), str(self._record.keeper.key.verifier)))
        return integrity.ListKeysResponse(keys=[*heads, *(state.key for state in indexed if state.key)])


def _report_message(report: Report, last: Head | None) -> integrity.VerifyRecordResponse:
    mark = last.journals.get(report.journal) if last else None
    return integrity.VerifyRecordResponse(
        journal=report.journal,
        verdict=f"VERDICT_{report.verdict}",
        size=report.size,
        root=report.root,
        first_bad_position=report.position,
        detail=report.detail,
        witnessed_size=mark.size if mark else 0,
        witnessed_sequence=last.sequence if last else 0,
    )


def _sink_message(sink: SinkStatus) -> integrity.SinkStatus:
    message = integrity.SinkStatus(name=sink.name, behind=sink.behind, problem=sink.problem)
    message.lag.FromMicroseconds(int(sink.lag_s * 1e6))
    return message


def _sequence(token: str) -> int:
    if token and not token.isdecimal():
        raise PageTokenInvalid
    return int(token or 0)
