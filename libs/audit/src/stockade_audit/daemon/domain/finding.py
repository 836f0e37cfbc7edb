"""Findings: what rules notice in the stream of entries, and what people make of it.

A finding is an ALERT entry and its state is what later entries say of it, so that the record is their only store.

| kind | raised when |
| --- | --- |
| BLOCK_SPIKE | an agent is refused SPIKE times within a minute |
| SANDBOX_ESCAPE | an agent asks for special-purpose addresses PROBES times within a minute |
| SANDBOX_ESCAPE | it calls what agents may not call, as often |
| SANDBOX_ESCAPE | the supervisor in a sandbox breaks its protocol |
| CLOCK_CHANGED | a journal says that the clock was set |
| RECORD_GAP | a journal says that the record could not be written |
| VERIFICATION_FAILED, WITNESS_UNREACHABLE, SINK_LAG | the daemon itself says so |
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SPIKE: Final = 100
PROBES: Final = 3
WINDOW_NS: Final = 60_000_000_000
QUIET_NS: Final = 600_000_000_000  # one subject is not reported again for the same kind within this time
SUBJECTS: Final = 4096  # followed at a time: a flood of names must not fill the memory

BROKEN: Final = "broke the protocol"  # what the sandbox service says of a supervisor that is not itself any more

KINDS: Final = (
    "BLOCK_SPIKE",
    "VERIFICATION_FAILED",
    "CLOCK_CHANGED",
    "SINK_LAG",
    "SANDBOX_ESCAPE",
    "WITNESS_UNREACHABLE",
    "RECORD_GAP",
)


OF_AGENTS: Final = frozenset({"BLOCK_SPIKE", "SANDBOX_ESCAPE"})  # whose subject is an agent


@dataclass(frozen=True, slots=True)
class Raised:
    """A finding to be written down, with the entries that show it."""

    kind: str
    subject: str
    summary: str
    entry_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding as it stands: state is OPEN, ACKNOWLEDGED or DISPOSED."""

    id: str
    kind: str
    time_ns: int
    subject: str
    summary: str
    entry_ids: tuple[str, ...]
    state: str = "OPEN"
    disposition: str = ""
    note: str = ""
    steps: int = 0


@dataclass(slots=True)
class Rules:
    """Watches entries in the order they are indexed; times are the entries' own."""

    _seen: dict[tuple[str, str], deque[tuple[int, str]]] = field(default_factory=lambda: defaultdict(deque))
    _reported: dict[tuple[str, str], int] = field(default_factory=dict)

    def watch(self, slot: str, time_ns: int, leaf: Mapping[str, Any]) -> Iterator[Raised]:
        """What this entry gives cause to say."""
        action, agent = leaf["action"], leaf.get("agent", "")
        if action in ("BLOCKED", "RATE_LIMITED") and agent:
            yield from self._often("BLOCK_SPIKE", agent, SPIKE, time_ns, leaf, "refused {} times within a minute")
        if action == "BLOCKED" and leaf.get("rule") == "special_address" and agent:
            told = "asked {} times within a minute for addresses that no policy opens"
            yield from self._often("SANDBOX_ESCAPE", agent, PROBES, time_ns, leaf, told)
        if action == "FOLDED" and leaf.get("reason") == "CALLER_NOT_ALLOWED" and agent:
            told = "called {} times within a minute what agents may not call"
            yield from self._often("SANDBOX_ESCAPE", agent, PROBES, time_ns, leaf, told)
        if action == "SANDBOX_LOST" and BROKEN in (detail := str(leaf.get("metadata", {}).get("detail", ""))):
            yield Raised("SANDBOX_ESCAPE", agent, detail, (leaf["id"],))
        if action == "CLOCK_CHANGED":
            change = leaf.get("metadata", {}).get("change_ms", 0)
            yield Raised("CLOCK_CHANGED", slot, f"the clock was set by {change} ms", (leaf["id"],))
        if action == "GAP":
            told = leaf.get("metadata", {})
            summary = f"{told.get('refused', 0)} appends were refused: {told.get('cause', '')}"
            yield Raised("RECORD_GAP", slot, summary, (leaf["id"],))

    def _often(
        self, kind: str, subject: str, limit: int, time_ns: int, leaf: Mapping[str, Any], told: str
    ) -> Iterator[Raised]:
        if len(self._seen) >= SUBJECTS and (kind, subject) not in self._seen:
            self._seen.clear()
        seen = self._seen[kind, subject]
        seen.append((time_ns, leaf["id"]))
        while seen and (len(seen) > limit or seen[0][0] <= time_ns - WINDOW_NS):
            seen.popleft()
        if len(seen) >= limit and time_ns - self._reported.get((kind, subject), 0) > QUIET_NS:
            if len(self._reported) >= SUBJECTS:
                self._reported.clear()
            self._reported[kind, subject] = time_ns
            yield Raised(kind, subject, told.format(limit), tuple(identity for _, identity in seen)[-10:])


def finding_of(alert: Mapping[str, Any], time_ns: int, related: Sequence[Mapping[str, Any]]) -> Finding:
    """A finding from its ALERT entry and the entries that speak of it, earliest first."""
    told = alert.get("metadata", {})
    ids = tuple(filter(None, str(told.get("entries", "")).split(" ")))
    state, disposition, note, steps = "OPEN", "", "", 0
    for leaf in related:
        if leaf["action"] in ("ACKNOWLEDGED", "DISPOSED"):
            said = leaf.get("metadata", {})
            state, note, steps = leaf["action"], str(said.get("note", note)), steps + 1
            disposition = leaf.get("reason", "") if state == "DISPOSED" else ""
    return Finding(
        alert["id"],
        alert.get("reason", ""),
        time_ns,
        alert.get("resource", ""),
        str(told.get("detail", "")),
        ids,
        state,
        disposition,
        note,
        steps,
    )
