"""RetentionService."""

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from stockade.audit.v1 import retention_service_pb2 as retention
from stockade.audit.v1 import retention_service_pb2_grpc
from stockade_rpckit import threads
from stockade_rpckit.recording import current_record

from stockade_audit import Action
from stockade_audit.daemon.domain.errors import HoldNotFound, PageTokenInvalid, RequestIdReused
from stockade_audit.daemon.domain.hold import Hold
from stockade_audit.daemon.erasing import Eraser
from stockade_audit.daemon.handlers.messages import time_ns_of, timestamp
from stockade_audit.pseudonyms import Pseudonym

WAIT_S = 5.0


class RetentionHandler(retention_service_pb2_grpc.RetentionServiceServicer):  # type: ignore[misc]
    """What is forgotten, and what must not be. Entries name subjects by their pseudonyms here, or erasing would not."""

    def __init__(self, eraser: Eraser) -> None:
        self._eraser = eraser

    async def EraseSubject(
        self, request: retention.EraseSubjectRequest, _context: Any
    ) -> retention.EraseSubjectResponse:
        current_record().set(action=Action.ERASED)
        forgotten = await threads.run(self._eraser.erase, request.subject)
        waiting = await threads.run(self._eraser.until_confirmed, WAIT_S)
        told: dict[str, Any] = {"keys": forgotten.keys, "rows": forgotten.rows, "waiting_for": " ".join(waiting)}
        current_record().set(metadata=told)
        return retention.EraseSubjectResponse(keys=forgotten.keys, rows=forgotten.rows, waiting_for=waiting)

    async def CreateHold(self, request: retention.CreateHoldRequest, _context: Any) -> retention.CreateHoldResponse:
        asked = _asked(request)
        try:
            hold = await threads.run(self._eraser.holds.get, asked.id)
        except HoldNotFound:
            hold = asked
            await threads.run(self._eraser.place, hold)
        if _terms(hold) != _terms(asked):
            raise RequestIdReused(request.request_id)
        current_record().set(action=Action.HOLD_PLACED, resource=hold.id)
        return retention.CreateHoldResponse(hold=_message(hold))

    async def ListHolds(self, request: retention.ListHoldsRequest, _context: Any) -> retention.ListHoldsResponse:
        holds = await threads.run(self._eraser.holds.all, request.show_released)
        ids = [hold.id for hold in holds]
        if request.page_token and request.page_token not in ids:
            raise PageTokenInvalid
        start = ids.index(request.page_token) + 1 if request.page_token else 0
        page = holds[start : start + (request.page_size or 100)]
        is_last = start + len(page) == len(holds)
        return retention.ListHoldsResponse(
            holds=map(_message, page), next_page_token="" if is_last or not page else page[-1].id
        )

    async def ReleaseHold(self, request: retention.ReleaseHoldRequest, _context: Any) -> retention.ReleaseHoldResponse:
        hold = await threads.run(self._eraser.holds.release, request.id, time.time_ns())
        current_record().set(action=Action.HOLD_RELEASED)
        return retention.ReleaseHoldResponse(hold=_message(hold))


def described(pseudonym: Pseudonym) -> Mapping[str, Callable[[Any], Mapping[str, Any]]]:
    """What the entries of these calls say, by RPC."""
    return {
        "EraseSubject": lambda r: {
            "resource": pseudonym(r.subject),
            "metadata": {"justification": r.justification},
        },
        "CreateHold": lambda r: {
            "metadata": {
                "subject": pseudonym(r.hold.subject) if r.hold.subject else "",
                "justification": r.hold.justification,
            }
        },
        "ReleaseHold": lambda r: {"resource": r.id, "metadata": {"justification": r.justification}},
    }


def _asked(request: retention.CreateHoldRequest) -> Hold:
    known = sha256(request.request_id.encode()).digest() if request.request_id else secrets.token_bytes(10)
    return Hold(
        id="hold-" + base64.b32encode(known[:10]).decode().lower(),
        subject=request.hold.subject,
        start_ns=time_ns_of(request.hold, "start_time"),
        end_ns=time_ns_of(request.hold, "end_time"),
        justification=request.hold.justification,
        created_ns=time.time_ns(),
    )


def _terms(hold: Hold) -> tuple[Any, ...]:
    return hold.subject, hold.start_ns, hold.end_ns, hold.justification


def _message(hold: Hold) -> retention.Hold:
    times = {"start_time": hold.start_ns, "end_time": hold.end_ns, "release_time": hold.released_ns}
    return retention.Hold(
        id=hold.id,
        subject=hold.subject,
        justification=hold.justification,
        create_time=timestamp(hold.created_ns),
        **{name: timestamp(time_ns) for name, time_ns in times.items() if time_ns},
    )
