"""What the acceptance run makes of the services' own records: entries of the audit record, and restarts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stockade_audit.entry import parse_time

Entry = Mapping[str, Any]
DECISIONS = ("ALLOWED", "BLOCKED", "RATE_LIMITED")


@dataclass(frozen=True)
class Promise:
    """A figure, and whether it is what was promised. `counted` says what it was made from."""

    name: str
    value: float
    unit: str
    target: str
    met: bool
    counted: str

    def document(self) -> dict[str, Any]:
        """As it is written to build/acceptance.json."""
        return {**asdict(self), "value": round(self.value, 3)}


@dataclass(frozen=True)
class Rate:
    """A policy's limits on one agent: a bucket of `burst` tokens, refilled at `per_minute`."""

    per_minute: int
    burst: int


def at_least(name: str, value: float, unit: str, least: float, counted: str) -> Promise:
    """A promise of a lower bound."""
    return Promise(name, value, unit, f"≥ {least:g}", value >= least, counted)


def crashes(entries: Sequence[Entry], processes: Iterable[Mapping[str, Any]], greedy: str) -> Promise:
    """Services that were started again, sandboxes lost, and execs of neighbours killed for memory, while one agent
    (`greedy`) took all it could and was killed for it."""
    restarts = sum(process["restarts"] for process in processes)
    lost = sum(entry["action"] == "SANDBOX_LOST" for entry in entries)
    killed = [entry for entry in entries if _metadata(entry).get("ending") == "OUT_OF_MEMORY"]
    neighbours = sum(entry.get("agent") != greedy for entry in killed)
    told = f"{len(killed)} execs out of memory, {neighbours} of neighbours; {restarts} restarts, {lost} sandboxes lost"
    harmed = restarts + lost + neighbours
    return Promise("oom_crashes", harmed, "", "0", harmed == 0 and bool(killed), told)


def isolation(entries: Sequence[Entry], agents: frozenset[str]) -> Promise:
    """Checks of the wall that ended with 0: each is a program of its own in a sandbox of these agents."""
    endings = [told for entry in entries if entry.get("agent") in agents and "ending" in (told := _metadata(entry))]
    passed = sum(ending["ending"] == "EXITED" and int(ending["exit_code"]) == 0 for ending in endings)
    return _share("isolation_checks_passed_pct", passed, len(endings), 100, "checks")


def recorded(entries: Sequence[Entry], sent: int) -> Promise:
    """Requests that agents say they sent, and decisions in the record."""
    decided = sum(entry["action"] in DECISIONS for entry in entries)
    return _share(
        "requests_with_entry_pct", min(decided, sent), sent, 100, f"requests sent, {decided} decisions recorded"
    )


def blocked(entries: Sequence[Entry], refused: str, sent: int, reached: int) -> Promise:
    """Requests for a name that no policy allows: all blocked, and nobody there was reached."""
    stopped = sum(entry["action"] == "BLOCKED" and entry.get("domain") == refused for entry in entries) - reached
    return _share("unauthorised_blocked_pct", stopped, sent, 100, f"requests for {refused}, which saw {reached}")


def rate_accuracy(entries: Sequence[Entry], agent: str, rate: Rate) -> Promise:
    """How many requests of one agent passed, beside what an ideal bucket passes at the recorded times."""
    mine = [entry for entry in entries if entry.get("agent") == agent and entry["action"] in DECISIONS]
    passed = sum(entry["action"] == "ALLOWED" for entry in mine)
    ideal = ideally_allowed(sorted(parse_time(entry["time"]) for entry in mine), rate)
    accuracy = 100 * (1 - abs(passed - ideal) / ideal) if ideal else 0.0
    told = f"{passed} of {len(mine)} requests passed, an ideal bucket passes {ideal}"
    return at_least("rate_limit_accuracy_pct", accuracy, "%", 99, told)


def ideally_allowed(times_ns: Sequence[int], rate: Rate) -> int:
    """How many requests at these times a bucket passes that begins full."""
    tokens, last, passed = float(rate.burst), times_ns[0] if times_ns else 0, 0
    for now in times_ns:
        tokens = min(rate.burst, tokens + (now - last) * rate.per_minute / 60e9)
        last = now
        if tokens >= 1:
            tokens, passed = tokens - 1, passed + 1
    return passed


def _metadata(entry: Entry) -> Mapping[str, Any]:
    found: Mapping[str, Any] = entry.get("metadata", {})
    return found


def _share(name: str, part: int, whole: int, least: float, counted: str) -> Promise:
    return at_least(name, 100 * part / whole if whole else 0.0, "%", least, f"{part} of {whole} {counted}")
