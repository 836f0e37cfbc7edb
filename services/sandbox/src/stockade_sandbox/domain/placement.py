"""Where sandboxes live in a fleet: what a node takes, which node is dead, what a node finds on its return.

Pure: times are given. A node beats in the shared registry every `BEAT_SECONDS`, and the registry tells, by its own
clock, who has been silent for `SILENT_SECONDS`. Whoever asks it judges by that and by what it saw itself: a registry
that was away finds everybody silent, and so does one whose clock was put forward.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from stockade_sandbox.domain.errors import NodeFull, QuotaExceeded
from stockade_sandbox.domain.node import Node, NodeState
from stockade_sandbox.domain.sandbox import Limits, Reason, Sandbox, State, over

BEAT_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""Without a beat for so long, a node is silent."""
CONFIRM_SECONDS = 1.5
"""A node is dead once it was seen silent for so long, with the same last beat."""
CONTACT_SECONDS = 5.0
"""How long the registry must have answered without a gap before anybody is judged: the healthy have beaten by then."""
GAP_SECONDS = 4.0
"""Answers further apart than that have a gap between them, the registry's or the asker's own."""
SETTLE_SECONDS = 3.0
"""How long a registry that lost everything refuses claims: all nodes have told it again by then what they have."""
LEAVE_SECONDS = 60.0
"""How long a service that stopped in order, to be started again, is waited for."""
FORGET_SECONDS = 86400.0
"""How long a lost node is still told of."""
REQUEST_SECONDS = 86400.0
"""How long a request_id is remembered."""
MOST_BEHIND_SECONDS = SILENT_SECONDS + CONFIRM_SECONDS + 2 * BEAT_SECONDS
"""A dead node is found out within that."""


def has_room(cordoned: bool, living: int, limit: int) -> bool:
    """Whether a node, of so many living ones, takes one more sandbox."""
    return not cordoned and living < limit


def held_node(node: str, cordoned: bool, living: int, limit: int) -> None:
    """Refuse one more sandbox where the node, of so many living ones, takes none. Another node may. Raises NodeFull."""
    if has_room(cordoned, living, limit):
        return
    if cordoned:
        raise NodeFull(node, "cordoned", "it is cordoned; another node may take this one")
    detail = f"it has {living}, which is its limit; another node may take this one, or wait until one ends"
    raise NodeFull(node, "sandboxes", detail)


def held_quota(owner: str, living: int, limit: int) -> None:
    """Refuse one more sandbox of an owner that has as many as it may. No node would take it. Raises QuotaExceeded."""
    if living >= limit:
        raise QuotaExceeded(owner, limit)


@dataclass(frozen=True, slots=True)
class Silence:
    """A node that does not beat: its last beat, and since when it has been seen silent."""

    beat: str
    since: float


@dataclass(frozen=True, slots=True)
class View:
    """What one node has seen of the others. Times are seconds of a clock of its own that never goes back."""

    contact_since: float = 0.0
    contact_at: float = float("-inf")
    silences: Mapping[str, Silence] = field(default_factory=dict)


def seen(view: View, silent: Mapping[str, str], now: float) -> View:
    """`view` once the registry has told at `now` who is silent, each with its last beat."""
    if now - view.contact_at > GAP_SECONDS:
        view = View(contact_since=now)
    silences = {node: _silence(view.silences.get(node), beat, now) for node, beat in silent.items()}
    return View(view.contact_since, now, silences)


def dead(view: View) -> dict[str, str]:
    """The nodes that are dead as of the last look, each with its last beat; none while contact is new."""
    if view.contact_at - view.contact_since < CONTACT_SECONDS:
        return {}
    due = view.contact_at - CONFIRM_SECONDS
    return {node: silence.beat for node, silence in view.silences.items() if silence.since <= due}


def lost(sandbox: Sandbox, at: float) -> Sandbox:
    """A sandbox of a node that died. One that had not started was nobody's yet: its request may be sent again."""
    if sandbox.state is State.STARTING:
        return over(sandbox, Reason.START_FAILED, f"node {sandbox.node} died while it started", at)
    return over(sandbox, Reason.NODE_LOST, f"node {sandbox.node} died, or was cut off", at)


def given_up(sandbox: Sandbox, at: float) -> Sandbox:
    """One that did not start for so long that its request was taken over by another node."""
    return over(sandbox, Reason.START_FAILED, "another node took its request over", at)


def buried(node: Node) -> Node:
    """A node once it is dead: it holds nothing."""
    return replace(node, state=NodeState.LOST, sandboxes=0, warm=0, promised=Limits())


@dataclass(frozen=True, slots=True)
class Return:
    """What a node has to do when it is back: remove sandboxes that were given up meanwhile, and give up others."""

    drop: tuple[Sandbox, ...]
    """Its own that are over for everybody else."""
    gone: tuple[Sandbox, ...]
    """The registry's that it does not have."""


def returned(local: Iterable[Sandbox], placed: Iterable[Sandbox], ended: Mapping[str, Sandbox]) -> Return:
    """What a node finds that has been away.

    `local`: all sandboxes that it knows of; `placed`: those that live on it for the registry; `ended`: those of its
    living ones that have ended for the registry, by name.
    """
    known = {sandbox.name: sandbox for sandbox in local}
    drop = tuple(sandbox for name, sandbox in known.items() if sandbox.living and name in ended)
    return Return(drop, tuple(sandbox for sandbox in placed if sandbox.name not in known))


def told(nodes: Iterable[Node], now: float) -> list[Node]:
    """The nodes by name, without those that were lost long ago."""
    kept = (n for n in nodes if n.state is not NodeState.LOST or now - n.heard_at < FORGET_SECONDS)
    return sorted(kept, key=lambda node: node.name)


def published(sandbox: Sandbox, node: str) -> Sandbox:
    """What everybody may know of a node's sandbox: nothing of its environment, which may hold what is secret."""
    return replace(sandbox, node=node, env={}, init_pid=0, cpus=(), uid=0)


def _silence(known: Silence | None, beat: str, now: float) -> Silence:
    return known if known is not None and known.beat == beat else Silence(beat, now)
