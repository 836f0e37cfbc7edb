"""What the service needs of the world, as it is spoken of here. Each port has one conformance suite.

Errors are those of `domain.errors`; what an adapter's library raises is translated at its edge.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from stockade_sandbox.domain.node import Heard, Node, Order
from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Sandbox, Tier
from stockade_sandbox.domain.snapshot import Snapshot
from stockade_sandbox.domain.usage import Disk, Network


@dataclass(frozen=True, slots=True)
class Mount:
    """A place of the host, seen at `target` inside."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What an engine is told to make. There is no field by which it could be told to make it weaker."""

    name: str
    image: str
    uid: int
    limits: Limits
    cpus: tuple[int, ...]
    host_network: bool
    command: tuple[str, ...]
    mounts: tuple[Mount, ...]
    working_dir: str
    tier: Tier
    labels: Mapping[str, str] = field(default_factory=dict)
    memory: Path | None = None
    """The live memory that it goes on from, as `Engine.checkpoint` wrote it; None: it begins anew."""


class ContainerState(StrEnum):
    """How the engine has a container."""

    CREATED = "CREATED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    EXITED = "EXITED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """A container as the engine has it. `init_pid` is the host's pid of its init, 0 while none runs."""

    name: str
    state: ContainerState
    init_pid: int = 0
    exit_code: int = 0
    out_of_memory: bool = False
    image_digest: str = ""


class Change(StrEnum):
    """What an engine tells of."""

    DIED = "DIED"
    REMOVED = "REMOVED"
    IMAGES = "IMAGES"
    """An image came or went, or a name leads to another one."""
    CONNECTED = "CONNECTED"
    """The stream of events is up again: what happened meanwhile was not told."""


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something that happened to one of our containers, or to images."""

    change: Change
    name: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that an init process wrote. `written_at` is seconds since the epoch."""

    written_at: float
    stderr: bool
    data: bytes


class Engine(Protocol):
    """Runs containers. Every method raises EngineUnavailable when the engine does not answer in time."""

    async def version(self) -> str:
        """The engine and its version, e.g. "docker 20.10.24"."""
        ...

    async def image_digest(self, image: str) -> str:
        """The digest that a name leads to now, as in `ContainerStatus.image_digest`. Raises ImageMissing."""
        ...

    async def create(self, container: Container) -> None:
        """Make it, not started. Raises ImageMissing, TierUnavailable, EngineRefused."""
        ...

    async def start(self, name: str) -> ContainerStatus:
        """Start it and tell how it runs. Raises EngineRefused."""
        ...

    async def status(self, name: str) -> ContainerStatus | None:
        """How it is; None: there is none."""
        ...

    async def statuses(self) -> Mapping[str, ContainerStatus]:
        """All containers of this service, by name; `init_pid` may be 0 for running ones."""
        ...

    async def pause(self, name: str) -> None:
        """Freeze it; a frozen one is no error. Raises EngineRefused."""
        ...

    async def resume(self, name: str) -> None:
        """Let it run on; a running one is no error. Raises EngineRefused."""
        ...

    async def update(self, name: str, limits: Limits) -> None:
        """Change cpu share, memory and pids of one that runs. Raises EngineRefused."""
        ...

    async def remove(self, name: str) -> None:
        """Kill it and remove what it wrote. One that is not there is no error."""
        ...

    async def checkpoint(self, name: str, directory: Path) -> None:
        """Write the live memory of one that runs to an empty directory; it runs on.

        No socket of the host may be open in it. Raises MemoryNotKept where its tier cannot, EngineRefused.
        """
        ...

    def events(self) -> AsyncGenerator[EngineEvent, None]:
        """What happens to our containers, and to images, from now on. Goes on through an engine's restart."""
        ...

    def logs(self, name: str, tail: int, follow: bool) -> AsyncGenerator[LogLine, None]:
        """What its init wrote: the last `tail` lines, all when 0."""
        ...


class Registry(Protocol):
    """Remembers this node's sandboxes through restarts."""

    async def put(self, sandbox: Sandbox) -> None:
        """Remember it as it is now, in place of what was remembered under its name. Durable on return."""
        ...

    async def get(self, name: str) -> Sandbox | None:
        """The sandbox of that name."""
        ...

    async def all(self) -> list[Sandbox]:
        """All of them, the newest first."""
        ...

    async def forget(self, names: Iterable[str]) -> None:
        """Remember those no longer."""
        ...

    async def remember_request(self, owner: str, request_id: str, digest: str, sandbox: str, at: float) -> None:
        """That `owner`'s request made `sandbox`, for a day from `at`. Durable on return."""
        ...

    async def request(self, owner: str, request_id: str) -> tuple[str, str] | None:
        """(digest, sandbox) of that owner's request, if it is remembered."""
        ...

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Remember a snapshot. Durable on return."""
        ...

    async def snapshots(self) -> list[Snapshot]:
        """All of them, the newest first."""
        ...

    async def forget_snapshot(self, name: str) -> None:
        """Remember it no longer. Durable on return."""
        ...

    async def flag(self, name: str) -> bool:
        """A named switch, false until set."""
        ...

    async def set_flag(self, name: str, value: bool) -> None:
        """Set it. Durable on return."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One more sandbox for an owner that may have `quota` of them. `digest` is the same for the same request."""

    sandbox: Sandbox
    quota: int
    request_id: str = ""
    digest: str = ""
    instead_of: str = ""
    """The sandbox that the same request began to make elsewhere, where that is given up."""


class Fleet(Protocol):
    """What all nodes know together: each other, and each other's sandboxes as `placement.published` has them.

    Every method raises FleetUnavailable when the registry does not answer in time. Those that a node calls as itself
    raise NotMember when it is not one of the fleet, any more: it joins, and publishes what it has.
    """

    async def join(self, node: Node, returning: bool) -> None:
        """Be one of the fleet. `returning`: it has been before; a registry that does not know that has lost everything,
        and refuses claims until all have had time to join again.

        Raises NodeNameTaken where one of another place, or that has replaced this one, beats under that name; and
        FleetUnsuitable.
        """
        ...

    async def beat(self, node: Node) -> Heard:
        """Be alive, as it now is."""
        ...

    async def leave(self, node: Node, patience: float) -> None:
        """Stop in order, to be back within `patience` seconds; 0: for good."""
        ...

    async def nodes(self) -> list[Node]:
        """All of them by name, those that were lost within a day too."""
        ...

    async def node(self, name: str) -> Node | None:
        """The node of that name."""
        ...

    async def order(self, name: str, order: Order) -> None:
        """Tell a node, in place of what it was told and has not done. It hears with its next beat."""
        ...

    async def claim(self, node: Node, claim: Claim) -> Sandbox | None:
        """Count and place a sandbox that is about to be made; or the one that the same request has made elsewhere.

        Raises QuotaExceeded, RequestIdReused.
        """
        ...

    async def publish(self, node: Node, sandboxes: Sequence[Sandbox]) -> set[str]:
        """Tell how they are now; the names of those living ones that are over for the fleet: it stays at that."""
        ...

    async def find(self, names: Sequence[str]) -> Mapping[str, Sandbox]:
        """Those of these names that are known, by name."""
        ...

    async def page(self, agent: str, after: str, size: int) -> list[Sandbox]:
        """At most so many, of that agent or all, after the `listing_key`; the newest first, ended ones too."""
        ...

    async def placed(self, name: str) -> list[Sandbox]:
        """Those that live on a node."""
        ...

    async def lose(self, name: str, beat: str, sandboxes: Sequence[Sandbox]) -> set[str]:
        """Declare a node dead whose last beat was that, and sandboxes of it over; the names of those that now are.

        Changes nothing where it has beaten since. A node that is left without sandboxes is silent no longer.
        """
        ...

    async def prune(self, ended_before: float) -> None:
        """Tell no longer of some of those that ended before that."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Disks(Protocol):
    """Makes places to write to that end on the mark. Named like the sandbox they belong to."""

    async def place(self, name: str) -> Path:
        """The directory that it is, or will be, seen at; there from now on."""
        ...

    async def create(self, name: str, size: int, uid: int, snapshot: str = "") -> None:
        """Make it, of `size` bytes, for `uid`, with the files of a snapshot of that size.

        Raises NodeFull when the host's disk cannot hold it, SnapshotNotFound.
        """
        ...

    async def usage(self, name: str) -> Disk:
        """What is used of it; all zero when there is none."""
        ...

    async def remove(self, name: str) -> None:
        """Remove it with all that is in it. One that is not there is no error."""
        ...

    async def names(self) -> set[str]:
        """All that there are, whole or half made."""
        ...

    async def keep(self, name: str, snapshot: str) -> int:
        """Copy what is in it to a snapshot; writers wait meanwhile. The bytes that it takes. Raises NodeFull."""
        ...

    async def drop(self, snapshot: str) -> None:
        """Remove a snapshot. One that is not there is no error."""
        ...

    async def snapshots(self) -> set[str]:
        """All snapshots that there are, whole or half made."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What one sandbox has of the gate."""

    sandbox: str
    agent: str
    agent_type: str
    network_mode: NetworkMode
    allowed_domains: tuple[str, ...]
    egress_socket: Path
    api_socket: Path


class Gate(Protocol):
    """Opens and closes the doors of sandboxes. Raises GateUnavailable, and DomainNotInPolicy where a door is set."""

    async def open(self, door: Door) -> None:
        """Return when its sockets accept. Opening the same again is no error."""
        ...

    async def update(self, door: Door) -> None:
        """Change what an open door lets through."""
        ...

    async def close(self, sandbox: str) -> None:
        """Return when its sockets refuse. No door is no error."""
        ...

    async def doors(self) -> set[str]:
        """The sandboxes that have one."""
        ...

    async def usage(self, sandbox: str) -> Network:
        """What went through its door. Raises GateUnavailable, also where it has none."""
        ...
