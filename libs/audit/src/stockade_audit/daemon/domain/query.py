"""What can be asked of the index."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final

from stockade_audit.daemon.domain.errors import PageTokenInvalid
from stockade_audit.reader import Place
from stockade_audit.sealing import Opened

# A filter's tuples, and the leaf's members they are about.
MEMBERS: Final = (
    ("agents", "agent"),
    ("agent_types", "agent_type"),
    ("domains", "domain"),
    ("actions", "action"),
    ("sandboxes", "sandbox"),
    ("principals", "principal"),
    ("services", "service"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries: all that is set must hold, within a tuple any value does. Times in ns, the end excluded."""

    start_ns: int = 0
    end_ns: int = 0
    agents: tuple[str, ...] = ()
    agent_types: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    sandboxes: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    trace_id: str = ""

    def matches(self, time_ns: int, leaf: Mapping[str, Any]) -> bool:
        """Whether a leaf's members are meant: what the index decides, for entries on their way."""
        return (
            (not self.start_ns or time_ns >= self.start_ns)
            and (not self.end_ns or time_ns < self.end_ns)
            and (not self.trace_id or leaf.get("trace_id") == self.trace_id)
            and all(not (wanted := getattr(self, name)) or leaf.get(member) in wanted for name, member in MEMBERS)
        )

    @property
    def digest(self) -> str:
        """Tells filters apart, so that a page token is used with its own."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in the order of all entries."""

    time_ns: int
    slot: str
    position: int

    def token(self, digest: str) -> str:
        """The page token that goes on behind this place, for the question of this digest."""
        text = json.dumps([digest, self.time_ns, self.slot, self.position])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, token: str, digest: str) -> "Cursor":
        """The place of a token; PageTokenInvalid when it was not given for this question."""
        try:
            found, time_ns, slot, position = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            if found != digest:
                raise ValueError("another question")
            return cls(int(time_ns), str(slot), int(position))
        except (ValueError, TypeError) as error:
            raise PageTokenInvalid from error


@dataclass(frozen=True, slots=True)
class Row:
    """Where an entry lies: its leaf is read from the journal."""

    slot: str
    position: int
    time_ns: int
    segment: int
    offset: int
    length: int

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.time_ns, self.slot, self.position)


@dataclass(frozen=True, slots=True)
class Indexed:
    """How far a journal is indexed: where to go on, and the time of the last entry."""

    slot: str
    place: Place = field(default_factory=Place)
    time_ns: int = 0
    key: str = ""


# What the index keeps of an entry beside its place and time: members of its leaf.
COLUMNS: Final = (
    "id", "action", "agent", "agent_type", "domain", "sandbox", "principal", "service", "trace_id", "intent_id",
)  # fmt: skip
MINUTE_NS: Final = 60_000_000_000

# (minute, service, action, agent, agent_type, domain, number of the key that opened the agent):
# (count, bytes_sent, bytes_received, duration_us)
Rollups = dict[tuple[int, str, str, str, str, str, int], tuple[int, int, int, int]]


def rollups_of(entries: Sequence[Opened], times: Sequence[int]) -> Rollups:
    """What these entries add to the minute rollups."""
    found: Rollups = {}
    for entry, time_ns in zip(entries, times, strict=True):
        get = entry.fields.get
        key = (
            time_ns // MINUTE_NS,
            get("service", ""),
            get("action", ""),
            get("agent", ""),
            get("agent_type", ""),
            get("domain", ""),
            entry.keys.get("agent", 0),
        )
        count, sent, received, duration = found.get(key, (0, 0, 0, 0))
        found[key] = (
            count + 1,
            sent + get("bytes_sent", 0),
            received + get("bytes_received", 0),
            duration + get("duration_us", 0),
        )
    return found


DIMENSIONS = ("action", "agent", "agent_type", "domain", "minute", "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsQuery:
    """Counts by each combination of `group_by` (of DIMENSIONS), minutes from `start_ns` to `end_ns` (0: open)."""

    start_ns: int = 0
    end_ns: int = 0
    group_by: tuple[str, ...] = ("action",)
    actions: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    agent_types: tuple[str, ...] = ()
    limit: int = 100


@dataclass(frozen=True, slots=True)
class StatsRow:
    """One combination, its values by dimension, and what was counted (times in µs)."""

    values: dict[str, str | int] = field(default_factory=dict)
    count: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    duration_us: int = 0


@dataclass(frozen=True, slots=True)
class Stats:
    """Rows with the largest counts, the count over all, and whether rows were left off."""

    rows: tuple[StatsRow, ...]
    total: int
    truncated: bool
