"""One sandbox as supervision sees it: its listener, its line, its execs."""

import asyncio
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Coroutine
from pathlib import Path

from stockade_rpckit.logs import get_logger

from stockade_sandbox.domain.execution import Command, SupervisorAbsent, TooManyExecs
from stockade_sandbox.domain.sandbox import new_name
from stockade_sandbox.supervision.absence import end_of_absence
from stockade_sandbox.supervision.doors import Doors
from stockade_sandbox.supervision.execution import Execution
from stockade_sandbox.supervision.health import Health
from stockade_sandbox.supervision.keeper import Keeper
from stockade_sandbox.supervision.link import Link
from stockade_sandbox.supervision.listener import Listener
from stockade_sandbox.supervision.note import read_note, write_note
from stockade_sandbox.supervision.orders import order
from stockade_sandbox.supervision.placement import Placement
from stockade_sandbox.supervision.prepared import Preparation, Prepared, Refusal
from stockade_sandbox.supervision.pulse import Pulse
from stockade_sandbox.supervision.roster import Roster
from stockade_sandbox.supervision.secrets import Secrets
from stockade_sandbox.supervision.spans import ExecSpans
from stockade_sandbox.supervisor import frames

MOST_RUNNING = 64
"""Execs that may run in one sandbox at once."""

_HELLO_TIMEOUT_S = 5.0

_log = get_logger(__name__)


class Post:
    """The host's end for one sandbox. Belongs to one event loop."""

    def __init__(
        self, sandbox: str, directory: Path, doors: bool, keeper: Keeper, secrets: Secrets | None = None
    ) -> None:
        self.sandbox = sandbox
        self._doors = Doors(doors)
        self._keeper, self._secrets = keeper, secrets
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._attached = asyncio.Event()
        self._kept_to_come: int | None = None  # None: no HELLO yet
        self._placement = Placement(sandbox, own_kernel=secrets is not None)
        self._init_pid = 0
        self._execs: OrderedDict[int, Execution] = OrderedDict()
        self._roster, self._preparation = Roster(sandbox), Preparation(sandbox, self._placement)
        self._released: deque[int] = deque(maxlen=64)
        self._next_number = 1
        self._pulse = Pulse()
        self._active_at, self._closed = time.time(), False
        self._tasks, self._endings = set[asyncio.Task[None]](), set[asyncio.Task[None]]()
        self._quiet: asyncio.Event | None = None  # set once the line has been let go of on purpose
        self._listener = Listener(directory / "control.sock", self._arrived, self._welcomed, secrets)

    # --- the lifecycle's side

    def expect(self, init_pid: int) -> None:
        """Only this process of the host is the supervisor."""
        self._init_pid = init_pid
        self._listener.expect(init_pid)

    async def attached(self, timeout_s: float) -> None:
        """Returns once the supervisor is on the line. Raises SupervisorAbsent."""
        if self._attached.is_set():
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._attached.wait()
        except TimeoutError:
            raise SupervisorAbsent(self.sandbox) from None

    async def set_doors(self, doors: bool, timeout_s: float) -> None:
        """Opens or closes the doors. Raises SupervisorAbsent."""
        self._doors.wanted = doors
        if self._link is not None and self._attached.is_set():
            self._doors.tell(self._link)
        try:
            await self._doors.done(timeout_s)
        except TimeoutError:
            raise SupervisorAbsent(self.sandbox) from None

    def health(self) -> Health:
        """How the supervisor does."""
        return Health(
            attached=self._attached.is_set(),
            heard_at=self._pulse.heard_at,
            round_trip_s=self._pulse.round_trip_s,
            silent_s=self._pulse.silent_s,
            busy=bool(self._execs),
            active_at=self._active_at,
        )

    def ping(self) -> None:
        """Asks for a sign of life unless one is still awaited (a paused sandbox answers when it goes on)."""
        if self._link is not None and self._attached.is_set() and not self._pulse.awaited:
            self._pulse.asked()
            self._link.send(frames.PING)

    def thawed(self) -> None:
        """It was frozen: what it owes an answer to, it owes from now on."""
        if self._pulse.awaited:
            self._pulse.asked()

    async def quiesce(self, timeout_s: float) -> None:
        """Has the supervisor let go of every connection to the host, and nobody dial. Raises SupervisorAbsent."""
        if self._link is None or not self._attached.is_set():
            raise SupervisorAbsent(self.sandbox)
        self._quiet = asyncio.Event()
        self._listener.close()
        self._link.send(frames.QUIESCE)
        try:
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()
        except TimeoutError:
            raise SupervisorAbsent(self.sandbox) from None

    def wake(self) -> None:
        """Listens again after `quiesce`."""
        if self._quiet is not None and not self._closed:
            self._quiet = None
            self._listener.resume()
            if self._link is None:
                self._spawn(self._await_return(False))

    def close(self, why: str, lost: bool = True) -> None:
        """Lets go of the line; with `lost`, what runs is lost for good."""
        self._closed = True
        self._listener.close()
        if self._link is not None:
            self._link.close()
        if lost:
            self._lose(why, init_out_of_memory=False)
        for task in self._tasks:
            task.cancel()

    # --- the callers' side

    def start(self, command: Command, *, file: dict[str, object] | None, request_id: str, held_by: object) -> Execution:
        """Orders a program, or a file operation, and returns at once; one that is held waits for `permit`.

        A `request_id` seen before gives the exec it started. Raises SupervisorAbsent, TooManyExecs, RequestIdReused.
        """
        if known := self._roster.requested(request_id, command):
            return known
        if self._link is None or not self._attached.is_set():
            raise SupervisorAbsent(self.sandbox)
        if len(self._execs) >= MOST_RUNNING:
            raise TooManyExecs(MOST_RUNNING)
        prepared = (self._preparation.take() if command.terminal is None else None) or self._next(asked_for=True)
        execution = Execution(self.sandbox, prepared.exec_id, prepared.number, command, ExecSpans(), self._link)
        execution.request_id, execution.held_by = request_id, held_by
        self._add(execution, listed=file is None)
        execution.order = order(command, file, not self._placement.possible)
        if not self._placement.possible:
            self._send_start(execution)
        elif prepared.asked_for:
            self._have_made(execution, prepared)
        else:
            self._start_when_placed(execution, prepared)
        return execution

    def _next(self, asked_for: bool = False) -> Prepared:
        """Number and id of a new exec, whose child is still to be made."""
        self._next_number += 1
        return Prepared(self._next_number - 1, new_name("ex"), asked_for)

    def find(self, exec_id: str) -> Execution:
        """The exec of that id. Raises ExecNotFound."""
        return self._roster.find(exec_id)

    def all(self) -> list[Execution]:
        """Those that run and the last that ended, newest first."""
        return self._roster.all()

    def touch(self) -> None:
        """A caller spoke."""
        self._active_at = time.time()

    # --- the supervisor's side

    def received(self, kind: int, number: int, payload: bytes) -> None:
        """A frame from the supervisor. Raises FrameError when it is out of turn."""
        self._pulse.heard()
        if self._kept_to_come is None:
            self._introduced(kind, payload)
        elif kind == frames.KEPT:
            self._kept(number, frames.decode_json(payload))
        elif kind == frames.PONG:
            self._pulse.answered()
        elif kind == frames.CONFIGURED:
            self._doors.heard()
        elif kind == frames.RENEWED and self._secrets is not None:
            self._secrets.confirm()
        elif (prepared := self._preparation.coming(number)) is not None:
            self._of_prepared(prepared, kind, payload)
        elif number in self._execs:
            self._of_exec(self._execs[number], kind, payload)
        elif number not in self._released:
            raise frames.FrameError(f"a frame of kind {kind} for exec {number}, which there is not")

    def broken(self, violation: str) -> None:
        """The line broke: the supervisor died, or broke the protocol, or will dial again."""
        self._link = None
        self._kept_to_come = None
        if (prepared := self._preparation.forget()) is not None:
            self._released.append(prepared)
        self._attached.clear()
        self._pulse.forget()
        for execution in self._execs.values():
            execution.detach()
        if self._closed:
            return
        if self._quiet is not None and not violation:
            self._quiet.set()
            return
        if violation:
            _log.warning("supervisor broke the protocol", extra={"sandbox": self.sandbox, "violation": violation})
            self._end(f"its supervisor broke the protocol: {violation}")
        else:
            dead_of_memory = self._placement.oom_kills() > 0
            self._listener.resume()
            self._spawn(self._await_return(dead_of_memory))

    def _arrived(self, caller: socket.socket) -> None:
        self._spawn(self._connect(caller))

    def _welcomed(self, transport: asyncio.Transport, said: bytes) -> None:
        self._link = Link(self)
        self._link.take_over(transport, said)

    async def _connect(self, caller: socket.socket) -> None:
        self._link = link = Link(self, caller)
        await self._loop.connect_accepted_socket(lambda: link, caller)
        try:
            async with asyncio.timeout(_HELLO_TIMEOUT_S):
                await self._attached.wait()
        except TimeoutError:
            link.close()

    def _introduced(self, kind: int, payload: bytes) -> None:
        if kind != frames.HELLO:
            raise frames.FrameError("the first frame is not HELLO")
        hello = frames.decode_json(payload)
        kept = hello.get("kept")
        if hello.get("version") != frames.VERSION or not isinstance(kept, int) or not 0 <= kept <= 4096:
            raise frames.FrameError("HELLO of another version")
        if hello.get("prepares") == 3:  # its children enter cgroups by themselves
            self._placement.find(self._init_pid)
        self._kept_to_come = kept
        self._complete_if_all_kept()

    def _complete_if_all_kept(self) -> None:
        if self._kept_to_come == 0 and not self._attached.is_set():
            self._attached.set()
            if self._link is not None:
                self._doors.tell(self._link)
                if self._secrets is not None:
                    self._link.send_json(frames.SECRET, 0, {"secret": self._secrets.renew()})
            for execution in list(self._execs.values()):
                if not execution.attached:
                    execution.lose("the supervisor no longer knows this exec", init_out_of_memory=False)
            self._prepare()

    def _kept(self, number: int, report: dict[str, object]) -> None:
        """An exec from before this line: known from before it broke, or from before this service started."""
        if not self._kept_to_come or self._link is None:
            raise frames.FrameError("KEPT out of turn")
        self._kept_to_come -= 1
        self._next_number = max(self._next_number, number + 1)
        execution = self._execs.get(number)
        if execution is None and number not in self._released:
            exec_id, cgroup, command = read_note(str(report.get("note")))
            execution = Execution(self.sandbox, exec_id, number, command, ExecSpans(), self._link)
            execution.cgroup = self._placement.known(cgroup)
            self._add(execution, listed=True)
        if execution is None or report.get("waiting"):
            self._link.send(frames.RELEASE, number)
        else:
            execution.adopt(self._link, report)
        self._complete_if_all_kept()

    def _of_exec(self, execution: Execution, kind: int, payload: bytes) -> None:
        if kind == frames.FORKED:
            if execution.pid or self._placement.possible:
                raise frames.FrameError("FORKED out of turn")
            execution.forked(frames.count(frames.decode_json(payload), "pid"))
        elif kind == frames.FAILED and Refusal.said(payload).is_gone and execution.unprepared():
            self._have_made(execution, Prepared(execution.number, execution.id, True, execution.cgroup))
        else:
            execution.told(kind, payload)

    def _prepare(self) -> None:
        """Has a child wait for the next exec."""
        if self._link is not None and self._preparation.wanted:
            self._preparation.offer(prepared := self._next())
            self._spawn(self._preparation.make(prepared, self._link, None))

    def _have_made(self, execution: Execution, prepared: Prepared) -> None:
        """Has the child made that it has not."""
        if self._link is not None:
            self._spawn(self._preparation.make(prepared, self._link, execution.command.terminal))
            self._start_when_placed(execution, prepared)

    def _of_prepared(self, prepared: Prepared, kind: int, payload: bytes) -> None:
        if kind == frames.FORKED:
            pid = frames.count(frames.decode_json(payload), "pid")
            self._spawn(self._preparation.place(prepared, pid))
        elif kind == frames.FAILED:
            prepared.settle(Refusal.said(payload))
        else:
            raise frames.FrameError(f"a frame of kind {kind} for an exec that nobody has asked for")

    def _start_when_placed(self, execution: Execution, prepared: Prepared) -> None:
        if prepared.place.done():
            self._start_prepared(execution, prepared)
        else:
            prepared.place.add_done_callback(lambda _place: self._start_prepared(execution, prepared))

    def _start_prepared(self, execution: Execution, prepared: Prepared) -> None:
        """Sends order and word in one; where no child waits that was made ahead of time, one is made for it."""
        place = prepared.place.result()
        if execution.number not in self._execs:  # it is over before it began
            self._release(execution.number)
            self._placement.remove(prepared.cgroup)
        elif not isinstance(place, Refusal):
            self._send_start(execution, execution.prepared(place, prepared.cgroup, prepared.asked_for))
        elif not prepared.asked_for:
            self._have_made(execution, Prepared(execution.number, execution.id, True, prepared.cgroup))
        elif self._link is not None:
            execution.cgroup = prepared.cgroup
            execution.failed(place.errno, place.step)

    def _send_start(self, execution: Execution, of_its_child: dict[str, object] | None = None) -> None:
        if self._link is not None:
            note = write_note(execution.id, execution.cgroup, execution.command)
            message = {**execution.order, "note": note, **(of_its_child or {})}
            self._link.send_json(frames.START, execution.number, message)

    def _release(self, number: int) -> None:
        """The supervisor may forget it; what it has said of it meanwhile is passed over."""
        self._released.append(number)
        if self._link is not None:
            self._link.send(frames.RELEASE, number)

    # --- the life of execs

    def _add(self, execution: Execution, listed: bool) -> None:
        self.touch()
        execution.finished, execution.escaped = self._finished, self._escaped
        self._execs[execution.number] = execution
        if listed:
            self._roster.add(execution)

    def _finished(self, execution: Execution) -> None:
        """It ended, or never was: the supervisor may forget it; what is empty is removed."""
        self.touch()
        del self._execs[execution.number]
        self._release(execution.number)
        self._roster.finished(execution)
        self._placement.remove(execution.cgroup, reusable=execution.ended_by_itself)
        self._loop.call_later(self._preparation.rest(self._loop.time()), self._prepare)

    def _escaped(self, execution: Execution) -> None:
        """What it started does not die: the sandbox does."""
        self._end(f"processes of exec {execution.id} could not be killed")

    def _lose(self, why: str, init_out_of_memory: bool) -> None:
        for execution in list(self._execs.values()):
            execution.lose(why, init_out_of_memory)

    async def _await_return(self, dead_of_memory: bool) -> None:
        """What runs is lost where the container is gone; the sandbox ends where its supervisor does not come back."""
        try:
            fate = await end_of_absence(self.sandbox, self._attached, self._keeper)
        except TimeoutError:
            self._end("its supervisor hung up and did not dial again")
            return
        if fate is not None:
            self._lose(fate.detail or "the sandbox ended", dead_of_memory or fate.out_of_memory)

    def _end(self, why: str) -> None:
        """Has the sandbox ended. That closes this post, which must not cancel it."""
        self._lose(why, init_out_of_memory=False)
        task = self._loop.create_task(self._keeper.end(self.sandbox, why))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
