"""The decisions of the last while: what waits for its outcome, what was refused lately, what keeps being refused.

All of it is a view of the audit record that is kept in memory, bounded, and lost with the process.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import NamedTuple

from stockade_network_policy.domain.decision import Decision, Request, Verdict

KEPT = 20_000  # decisions that can still be asked for
REFUSALS_SHOWN = 50  # of one sandbox
SANDBOXES_KEPT = 5_000
AGENTS_KEPT = 20_000
HOSTS_KEPT = 2_000  # refused hosts of one agent type, for proposals


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an allowed request ended.

    `details` is what else was told. `refused` in it says what ended a tunnel without a word (its SNI, its address, its
    name), as "RULE: reason".
    """

    status: int  # HTTP status; 0 where there was none
    bytes_sent: int
    bytes_received: int
    duration_s: float
    details: Mapping[str, str] = field(default_factory=dict)
    known: bool = True  # False: nobody said in time (`outcome_unknown`)

    @classmethod
    def unknown(cls) -> Outcome:
        """What is known where nobody said in time."""
        return cls(status=0, bytes_sent=0, bytes_received=0, duration_s=0.0, known=False)

    @property
    def refused(self) -> str:
        """What the gate ended it for; empty where it did not."""
        return self.details.get("refused", "")

    @property
    def text(self) -> str:
        """The details, for people."""
        return "; ".join(f"{key}={value}" for key, value in self.details.items())


class Ended(NamedTuple):
    """Word of how a decision's request ended."""

    decision_id: str
    outcome: Outcome


@dataclass(slots=True, kw_only=True)
class Judged:
    """A request, its decision and, once it is known, its outcome."""

    request: Request
    decision: Decision
    time_ns: int
    outcome: Outcome | None = None
    sent_counted: int = 0
    received_counted: int = 0
    alive_s: float = field(default_factory=time.monotonic)  # when it last gave a sign of life
    cut: bool = False  # its tunnel outlived its policy and is being ended


@dataclass(slots=True)
class RefusedHost:
    """A host that one agent type was refused, or would have been."""

    host: str
    port: int
    count: int = 0
    last_ns: int = 0


class Decisions:
    """What `Judgement` remembers."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Judged] = OrderedDict()
        self._open: OrderedDict[str, Judged] = OrderedDict()  # by sign of life, oldest first
        self._refusals: OrderedDict[str, deque[Judged]] = OrderedDict()
        self._agent_types: OrderedDict[str, str] = OrderedDict()
        self._refused_hosts: dict[str, OrderedDict[tuple[str, int], RefusedHost]] = {}

    def add(self, judged: Judged) -> None:
        """Remembers a decision; an allowed one waits for its outcome."""
        decision, request = judged.decision, judged.request
        if self._agent_types.get(request.agent) != request.agent_type:
            self._remember_type(request)
        self._kept[decision.decision_id] = judged
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        if decision.verdict is Verdict.ALLOW:
            self._open[decision.decision_id] = judged
        else:
            self.add_refusal(judged)
        if decision.rule in ("block_unknown_domains", "allowed_ports") and (decision.reported or not _passed(decision)):
            self._count_refused(judged)

    def add_refusal(self, judged: Judged) -> None:
        """Shows a decision among its sandbox's latest refusals."""
        latest = self._refusals.setdefault(judged.request.sandbox, deque(maxlen=REFUSALS_SHOWN))
        latest.appendleft(judged)
        self._refusals.move_to_end(judged.request.sandbox)
        if len(self._refusals) > SANDBOXES_KEPT:
            self._refusals.popitem(last=False)

    def type_of(self, agent: str) -> str:
        """The type an agent asked with last; empty where it never did."""
        return self._agent_types.get(agent, "")

    def find(self, decision_id: str) -> Judged | None:
        """A decision, while it is kept or waits for its outcome."""
        return self._open.get(decision_id) or self._kept.get(decision_id)

    def alive(self, judged: Judged) -> None:
        """The request is known to be going on."""
        judged.alive_s = time.monotonic()
        if judged.decision.decision_id in self._open:
            self._open.move_to_end(judged.decision.decision_id)

    def close(self, ended: Ended) -> Judged | None:
        """The request ended; None where nothing of that id waits for its outcome."""
        judged = self._open.pop(ended.decision_id, None)
        if judged is not None:
            judged.outcome = ended.outcome
        return judged

    def reopen(self, judged: Judged) -> None:
        """Its end could not be recorded: it waits again."""
        judged.outcome = None
        self._open[judged.decision.decision_id] = judged
        self._open.move_to_end(judged.decision.decision_id, last=False)

    def abandoned(self, wait_s: float, at_most: int) -> list[Judged]:
        """Decisions that gave no sign of life for so long, the oldest first."""
        since = time.monotonic() - wait_s
        return list(islice(takewhile(lambda judged: judged.alive_s < since, self._open.values()), at_most))

    def open_tunnels(self) -> Iterator[Judged]:
        """Tunnels that have not ended, as far as is known."""
        return (judged for judged in self._open.values() if judged.request.method == "CONNECT")

    def awaiting(self) -> int:
        """How many decisions wait for their outcome."""
        return len(self._open)

    def recent(self, sandbox: str) -> list[Judged]:
        """The sandbox's latest refusals, newest first."""
        return list(self._refusals.get(sandbox, ()))

    def refused_hosts(self, policy: str, since_ns: int) -> Iterator[RefusedHost]:
        """What the agents under a policy were refused since then."""
        return (host for host in self._refused_hosts.get(policy, {}).values() if host.last_ns >= since_ns)

    def _remember_type(self, request: Request) -> None:
        self._agent_types[request.agent] = request.agent_type
        if len(self._agent_types) > AGENTS_KEPT:
            self._agent_types.popitem(last=False)

    def _count_refused(self, judged: Judged) -> None:
        decision = judged.decision
        hosts = self._refused_hosts.setdefault(decision.policy, OrderedDict())
        key = (decision.canonical_host, decision.port)
        host = hosts.setdefault(key, RefusedHost(*key))
        host.count, host.last_ns = host.count + 1, judged.time_ns
        hosts.move_to_end(key)
        if len(hosts) > HOSTS_KEPT:
            hosts.popitem(last=False)


def _passed(decision: Decision) -> bool:
    return decision.verdict is Verdict.ALLOW
