"""The audit record of a call: opened and closed by the interceptor, filled by the handler.

What is written, and when, follows the RPC's `recording` option:

INTENT  an entry is durable before the handler runs, another closes it; one that is marked `before_intent` runs
        meanwhile, and waits for it before its effect; one that says so is answered while the closing entry is written
AFTER   an entry is durable before the answer
FOLDED  calls are counted, one entry a second for each principal, method and status
NONE    nothing

A call that is refused before its handler runs is folded whatever its option says, so that nobody can fill the record
by knocking at the wrong door. An agent's calls that write entries of their own are paced, so that no sandbox can fill
it by asking either.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from google.protobuf.message import Message
from stockade_audit import Action, Entry, Journal, new_entry_id

from stockade_rpckit import contract
from stockade_rpckit.contract import Method
from stockade_rpckit.folds import Folds
from stockade_rpckit.identity import Principal, PrincipalKind
from stockade_rpckit.logs import get_logger
from stockade_rpckit.pace import Pace

log = get_logger(__name__)

Describe = Callable[[Any], Mapping[str, Any]]
"""From a request to the entry fields that it fixes, for RPCs whose request does not name them itself."""

B = TypeVar("B", bound=Callable[..., Any])

NOBODY = Principal(PrincipalKind.SERVICE, "unauthenticated")
"""Who a call is counted under that proved no identity."""

AGENT_PER_SECOND, AGENT_BURST = 50, 500
"""Calls of one sandbox that write entries of their own: so many go on for ever, so many at once; the rest wait."""

LINGER_S = 0.002
"""How long a closing entry that nobody waits for may wait for its caller's next intent, to be written with it."""

_GUESSED = {
    "sandbox": "sandbox",
    "agent": "agent",
    "agent_type": "agent_type",
    "name": "resource",
    "parent": "resource",
}
_current: ContextVar["Record"] = ContextVar("stockade_record")


def current_record() -> "Record":
    """The record of the call being served. Raises LookupError outside one."""
    return _current.get()


def before_intent(behaviour: B) -> B:
    """Marks a handler that may begin while its intent is written: it prepares, and nothing that it does lasts or shows.

    It awaits `current_record().intended()` before its effect.
    """
    behaviour.before_intent = True  # type: ignore[attr-defined]
    return behaviour


class Record:
    """The fields of one call's entry so far. `entry_id` is the id that its (closing) entry will carry."""

    __slots__ = (
        "answered_first",
        "claimed",
        "entry_id",
        "fields",
        "intent",
        "intent_id",
        "origin",
        "skipped",
        "started_ns",
    )

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.entry_id = new_entry_id()
        self.intent: asyncio.Future[int] | None = None
        self.intent_id = ""
        self.claimed: Mapping[str, str] = {}  # fields of its entry, when it was refused: who it said it was
        self.origin: Mapping[str, str] = {}  # and where it came from
        self.skipped = False
        self.answered_first = False
        self.started_ns = time.monotonic_ns()

    def answer_first(self) -> None:
        """Its caller, told how it ended, need not wait until the closing entry of its intent is durable.

        Where that one is lost, the record says that the outcome is not known, which is true of the record.
        """
        self.answered_first = True

    async def intended(self) -> None:
        """Returns once its intent, if it has one, is durable. Raises RecordUnavailable."""
        if self.intent is not None:
            await asyncio.shield(self.intent)

    def set(self, *, metadata: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Fill fields of `stockade_audit.Entry`; `metadata` is merged into what is there."""
        self.fields |= fields
        if metadata:
            self.fields["metadata"] = {**self.fields.get("metadata", {}), **metadata}

    def skip(self) -> None:
        """The handler has appended entries of its own: write none for this call."""
        self.skipped = True

    def entry(self, **fields: Any) -> Entry:
        """The entry as it stands, with `fields` on top."""
        return Entry(**{**self.fields, **fields})


class Recorder:
    """Writes the records of one service's calls to its journal."""

    def __init__(self, service: str, journal: Journal, describe: Mapping[str, Describe]) -> None:
        """`describe` maps an RPC's name to the function that reads entry fields from its request."""
        self._service = service
        self._journal = journal
        self._describe = describe
        self.folds = Folds(journal)
        self._pace = Pace(AGENT_PER_SECOND, AGENT_BURST)

    def open(self, method: Method, trace_id: str, span_id: str) -> Record:
        """Begin the record of a call, as nobody's, and make it the current one; nothing is written yet."""
        record = Record(
            {
                "service": self._service,
                "method": method.unary_name,
                **_who(NOBODY),
                "trace_id": trace_id,
                "span_id": span_id,
            }
        )
        _current.set(record)
        return record

    def identify(self, record: Record, principal: Principal) -> None:
        """The call is this principal's."""
        record.fields |= _who(principal)

    def alias(self, principal: Principal) -> str:
        """A caller as copies of the record name it: a service as it is, everybody else by a pseudonym."""
        name = principal.name if principal.kind is PrincipalKind.SERVICE else self._journal.pseudonym(principal.name)
        return f"{principal.kind}:{name}"

    async def begin(self, method: Method, record: Record, request: Message | None, early: bool = False) -> None:
        """Take what the request says; for INTENT, make the intent durable. Raises RecordUnavailable.

        `early`: whether the handler waits for that itself. Returns when it is the turn of the agent's sandbox.
        """
        if request is not None:
            describe: Describe = self._describe.get(method.name) or _guess
            for field, value in describe(request).items():
                # An agent's own identity stands, whatever its request says.
                if value and (field == "metadata" or not record.fields.get(field)):
                    record.fields[field] = value
        if record.fields["principal_kind"] == PrincipalKind.AGENT and method.recording in (
            contract.INTENT,
            contract.AFTER,
        ):
            await self._pace.turn(record.fields["sandbox"] or f"agent {record.fields['agent']}")
        if method.recording == contract.INTENT:
            record.intent_id = new_entry_id()
            record.intent = self._journal.submit(record.entry(id=record.intent_id, action=Action.INTENT))
            if not early:
                await record.intended()

    async def close(self, method: Method, record: Record, status: str, reason: str = "") -> None:
        """Write what the call came to, as the RPC's option says. Raises RecordUnavailable."""
        if method.recording == contract.NONE or record.skipped:
            return
        if method.recording == contract.FOLDED:
            self.fold(record, status, reason)
            return
        if status == "OK":
            await record.intended()
        outcome: dict[str, Any] = {"id": record.entry_id, "status": status, "intent_id": record.intent_id}
        outcome["duration_us"] = (time.monotonic_ns() - record.started_ns) // 1000
        if reason:
            outcome["reason"] = reason
        outcome["action"] = record.fields.get("action") or (Action.OUTCOME if record.intent_id else Action.CALLED)
        entry = record.entry(**outcome)
        if record.intent_id and record.answered_first and status == "OK":
            self._journal.submit(entry, LINGER_S).add_done_callback(_heed)
        else:
            await self._journal.submit(entry)

    def fold(self, record: Record, status: str, reason: str) -> None:
        """Count a call into the entry that is written for its principal, method, status and reason."""
        known = {name: record.fields[name] for name in _FOLDED_FIELDS if name in record.fields}
        claimed, origin = (record.claimed, record.origin) if self.folds.kinds < _MOST_CLAIMS else ({}, {})
        self.folds.add({"action": Action.FOLDED, **known, "status": status, "reason": reason, **claimed}, origin=origin)

    def fold_unheard(self, reason: str, origin: Mapping[str, str], count: int) -> None:
        """Count connections that were refused before a call could be made."""
        fields = {"action": Action.FOLDED, "service": self._service, **_who(NOBODY), "status": "UNAUTHENTICATED"}
        self.folds.add({**fields, "reason": reason}, count, origin)


_MOST_CLAIMS = 256
"""Kinds of calls in one second up to which each refused one's claims are told apart; what is beyond is counted."""

_FOLDED_FIELDS = ("service", "method", "principal_kind", "principal", "agent", "agent_type", "sandbox")


def _heed(closing: "asyncio.Future[int]") -> None:
    """The journal has a gap entry for what it refused; the intent stays open."""
    if not closing.cancelled() and (error := closing.exception()):
        log.error("an outcome could not be recorded", extra={"error": str(error)})


def _who(principal: Principal) -> dict[str, str]:
    who = {"principal_kind": str(principal.kind), "principal": principal.name}
    if principal.kind is not PrincipalKind.AGENT:
        return who
    return {**who, "agent": principal.name, "agent_type": principal.agent_type, "sandbox": principal.sandbox}


def _guess(request: Message) -> Mapping[str, Any]:
    """The fields that requests name alike: sandbox, agent, agent_type, and the resource's name or parent."""
    fields = request.DESCRIPTOR.fields_by_name
    return {
        entry_field: getattr(request, field)
        for field, entry_field in _GUESSED.items()
        if field in fields and fields[field].cpp_type == fields[field].CPPTYPE_STRING and not fields[field].is_repeated
    }
