"""Children that wait in their cgroups for an order: one ahead of time, so that the next exec need not wait for its own.

That one is 1 MiB of an idle sandbox's memory, and one of its processes.
"""

import asyncio
import errno
from dataclasses import dataclass, field

from stockade_rpckit.logs import get_logger

from stockade_sandbox.cgroups import ExecCgroup
from stockade_sandbox.domain.execution import TerminalSize
from stockade_sandbox.supervision.link import Link
from stockade_sandbox.supervision.placement import Placement
from stockade_sandbox.supervisor import frames

GONE = "prepared"
BREATH_S = 1.0
"""How long the cores are left to others after the first exec in a while: many sandboxes may begin at once."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """There is no child, and which step failed how: see FAILED."""

    errno: int
    step: str

    @classmethod
    def said(cls, payload: bytes) -> "Refusal":
        """What FAILED says. Raises FrameError."""
        message = frames.decode_json(payload)
        return cls(frames.count(message, "errno"), str(message.get("step")))

    @property
    def is_gone(self) -> bool:
        """Whether there was one, which had no order yet."""
        return self.step == GONE


Place = int | Refusal
"""The pid of a child that waits in its cgroup, as the sandbox counts; or why there is none."""


@dataclass(slots=True)
class Prepared:
    """Number and id of an exec, and its child."""

    number: int
    exec_id: str
    asked_for: bool = False
    """Whether an exec waits for it that had none before."""
    cgroup: ExecCgroup | None = None
    place: "asyncio.Future[Place]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, place: Place) -> None:
        """Whoever waits for its place learns of it."""
        if not self.place.done():
            self.place.set_result(place)


class Preparation:
    """Has children made, of which at most one has not been taken by an exec."""

    def __init__(self, sandbox: str, placement: Placement) -> None:
        self._sandbox, self._placement = sandbox, placement
        self._free: Prepared | None = None
        self._coming: dict[int, Prepared] = {}  # the supervisor has still to say what became of them
        self._ended_at = float("-inf")

    @property
    def wanted(self) -> bool:
        """Whether one should be made ahead of time."""
        return self._free is None and self._placement.possible

    def rest(self, now: float) -> float:
        """How many seconds to let pass, an exec having ended, before one is made ahead of time."""
        first, self._ended_at = now - self._ended_at > BREATH_S, now
        return BREATH_S if first else 0.0

    def offer(self, prepared: Prepared) -> None:
        """The next exec may take this one."""
        self._free = prepared

    def take(self) -> Prepared | None:
        """The one that waits, or is about to, for an exec that is asked for now."""
        prepared, self._free = self._free, None
        return prepared

    async def make(self, prepared: Prepared, link: Link, terminal: TerminalSize | None) -> None:
        """Makes its cgroup and has the supervisor fork the child that enters it."""
        size = {"rows": terminal.rows, "columns": terminal.columns} if terminal else None
        try:
            prepared.cgroup = prepared.cgroup or await self._placement.make(prepared.exec_id)
            with prepared.cgroup.entrances() as entrances:
                message: dict[str, object] = {"entrances": len(entrances), "terminal": size}
                self._coming[prepared.number] = prepared
                await link.hand_over(frames.PREPARE, prepared.number, message, entrances)
        except BrokenPipeError:  # nobody has another one made
            prepared.settle(Refusal(0, GONE))
            self._placement.remove(prepared.cgroup)
        except OSError as error:
            self._coming.pop(prepared.number, None)
            self._refuse(prepared, error)

    def coming(self, number: int) -> Prepared | None:
        """The one of that number, the first time that the supervisor speaks of it."""
        return self._coming.pop(number, None)

    async def place(self, prepared: Prepared, pid: int) -> None:
        """Sees to it that its child, which waits, is in its cgroup."""
        assert prepared.cgroup is not None
        try:
            await self._placement.admit(prepared.cgroup, pid)
        except ProcessLookupError:  # it was killed meanwhile
            prepared.settle(Refusal(0, GONE))
        except OSError as error:
            self._refuse(prepared, error)
        else:
            prepared.settle(pid)

    def forget(self) -> int | None:
        """None is waited for any more; the number of the one that no exec has taken."""
        for prepared in self._coming.values():
            prepared.settle(Refusal(0, GONE))
        self._coming.clear()
        free = self.take()
        if free is None:
            return None
        self._placement.remove(free.cgroup)
        return free.number

    def _refuse(self, prepared: Prepared, error: OSError) -> None:
        _log.warning("a child could not be placed", extra={"sandbox": self._sandbox, "error": str(error)})
        prepared.settle(Refusal(error.errno or errno.EIO, "cgroup"))
