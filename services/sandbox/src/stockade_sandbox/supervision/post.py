"""One sandbox as supervision sees it: its listener, its line, its execs."""

import asyncio
import secrets
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Coroutine
from pathlib import Path

from stockade_rpckit.logs import get_logger

from stockade_sandbox.cgroups import ContainerCgroup, NoCgroup
from stockade_sandbox.domain.errors import RequestIdReused
from stockade_sandbox.domain.execution import Command, ExecNotFound, SupervisorAbsent, TooManyExecs
from stockade_sandbox.supervision.execution import Execution
from stockade_sandbox.supervision.health import Health
from stockade_sandbox.supervision.keeper import Keeper
from stockade_sandbox.supervision.link import Link
from stockade_sandbox.supervision.listener import Listener
from stockade_sandbox.supervision.note import read_note, write_note
from stockade_sandbox.supervision.spans import ExecSpans
from stockade_sandbox.supervisor import frames

MOST_RUNNING = 64
"""Execs that may run in one sandbox at once."""

MOST_ENDED = 32
"""Ended execs that can still be asked about, output included."""

_HELLO_TIMEOUT_S = 5.0
_RETURN_TIMEOUT_S = 10.0
_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

_log = get_logger(__name__)


class Post:
    """The host's end for one sandbox. Belongs to one event loop."""

    def __init__(self, sandbox: str, directory: Path, doors: bool, keeper: Keeper) -> None:
        self.sandbox = sandbox
        self.doors = doors
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._attached = asyncio.Event()
        self._kept_to_come: int | None = None  # None: no HELLO yet
        self._container: ContainerCgroup | None = None
        self._init_pid = 0
        self._execs: OrderedDict[int, Execution] = OrderedDict()
        self._by_id: dict[str, Execution] = {}
        self._released: deque[int] = deque(maxlen=64)
        self._next_number = 1
        self._lingering: list[Execution] = []
        self._configured: asyncio.Future[None] | None = None
        self._heard_at = self._round_trip_s = 0.0
        self._pinged_at: float | None = None
        self._active_at = time.time()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._listener = Listener(directory / "control.sock", self._arrived)

    # --- the lifecycle's side

    def expect(self, init_pid: int) -> None:
        """Only this process of the host is the supervisor."""
        self._init_pid = init_pid
        self._listener.expect(init_pid)

    async def attached(self, timeout_s: float) -> None:
        """Returns once the supervisor is on the line. Raises SupervisorAbsent."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._attached.wait()
        except TimeoutError:
            raise SupervisorAbsent(self.sandbox) from None

    async def set_doors(self, doors: bool, timeout_s: float) -> None:
        """Opens or closes the doors. Raises SupervisorAbsent."""
        self.doors = doors
        self._configure()
        if self._configured is None:
            raise SupervisorAbsent(self.sandbox)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._configured)
        except TimeoutError:
            raise SupervisorAbsent(self.sandbox) from None

    def health(self) -> Health:
        """How the supervisor does."""
        return Health(
            attached=self._attached.is_set(),
            heard_at=self._heard_at,
            round_trip_s=self._round_trip_s,
            silent_s=0.0 if self._pinged_at is None else self._loop.time() - self._pinged_at,
            busy=bool(self._execs),
            active_at=self._active_at,
        )

    def ping(self) -> None:
        """Asks for a sign of life unless one is still awaited (a paused sandbox answers when it goes on)."""
        if self._link is not None and self._attached.is_set() and self._pinged_at is None:
            self._pinged_at = self._loop.time()
            self._link.send(frames.PING)

    def thawed(self) -> None:
        """It was frozen: what it owes an answer to, it owes from now on."""
        if self._pinged_at is not None:
            self._pinged_at = self._loop.time()

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

    def start(self, command: Command, *, file: dict[str, object] | None = None, request_id: str = "") -> Execution:
        """Orders a program, or a file operation, and returns at once.

        A `request_id` seen before gives the exec it started. Raises SupervisorAbsent, TooManyExecs, RequestIdReused.
        """
        if request_id and (known := self._requested(request_id, command)):
            return known
        if self._link is None or not self._attached.is_set():
            raise SupervisorAbsent(self.sandbox)
        if len(self._execs) >= MOST_RUNNING:
            raise TooManyExecs(MOST_RUNNING)
        exec_id = "ex-" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(12))
        execution = Execution(self.sandbox, exec_id, self._next_number, command, ExecSpans(), self._link)
        self._next_number += 1
        execution.request_id = request_id
        self._add(execution, listed=file is None)
        self._link.send_json(
            frames.START,
            execution.number,
            {
                "args": list(command.args),
                "env": command.env,
                "cwd": command.cwd,
                "stdin": command.stdin,
                "terminal": (
                    {"rows": command.terminal.rows, "columns": command.terminal.columns} if command.terminal else None
                ),
                "limits": command.limits,
                "note": write_note(exec_id, command),
                **({"file": file} if file is not None else {}),
            },
        )
        return execution

    def _requested(self, request_id: str, command: Command) -> Execution | None:
        for execution in self._by_id.values():
            if execution.request_id == request_id:
                if execution.command != command:
                    raise RequestIdReused(request_id)
                return execution
        return None

    def find(self, exec_id: str) -> Execution:
        """The exec of that id. Raises ExecNotFound."""
        try:
            return self._by_id[exec_id]
        except KeyError:
            raise ExecNotFound(self.sandbox, exec_id) from None

    def all(self) -> list[Execution]:
        """Those that run and the last that ended, newest first."""
        return sorted(self._by_id.values(), key=lambda item: item.number, reverse=True)

    def touch(self) -> None:
        """A caller spoke."""
        self._active_at = time.time()

    # --- the supervisor's side

    def received(self, kind: int, number: int, payload: bytes) -> None:
        """A frame from the supervisor. Raises FrameError when it is out of turn."""
        self._heard_at = time.time()
        if self._kept_to_come is None:
            self._introduced(kind, payload)
        elif kind == frames.KEPT:
            self._kept(number, frames.decode_json(payload))
        elif kind == frames.PONG:
            self._ponged()
        elif kind == frames.CONFIGURED:
            self._was_configured()
        elif number in self._execs:
            self._of_exec(self._execs[number], kind, payload)
        elif number not in self._released:
            raise frames.FrameError(f"a frame of kind {kind} for exec {number}, which there is not")

    def broken(self, violation: str) -> None:
        """The line broke: the supervisor died, or broke the protocol, or will dial again."""
        self._link = None
        self._kept_to_come = None
        self._attached.clear()
        self._pinged_at = None
        for execution in self._execs.values():
            execution.detach()
        if self._closed:
            return
        if violation:
            _log.warning("supervisor broke the protocol", extra={"sandbox": self.sandbox, "violation": violation})
            self._end(f"its supervisor broke the protocol: {violation}")
        else:
            dead_of_memory = self._container is not None and self._container.oom_kills() > 0
            self._listener.resume()
            self._spawn(self._await_return(dead_of_memory))

    def _arrived(self, caller: socket.socket) -> None:
        self._spawn(self._connect(caller))

    async def _connect(self, caller: socket.socket) -> None:
        link = Link(self)
        self._link = link
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
        self._find_container()
        self._kept_to_come = kept
        self._complete_if_all_kept()

    def _find_container(self) -> None:
        try:
            self._container = ContainerCgroup.of(self._init_pid)
            self._container.protect_init()
        except NoCgroup as error:
            _log.warning("no cgroup of its own", extra={"sandbox": self.sandbox, "error": str(error)})
            self._container = None

    def _complete_if_all_kept(self) -> None:
        if self._kept_to_come == 0 and not self._attached.is_set():
            self._attached.set()
            self._configure()
            for execution in list(self._execs.values()):
                if not execution.attached:
                    execution.lose("the supervisor no longer knows this exec", init_out_of_memory=False)

    def _kept(self, number: int, report: dict[str, object]) -> None:
        """An exec from before this line: known from before it broke, or from before this service started."""
        if not self._kept_to_come or self._link is None:
            raise frames.FrameError("KEPT out of turn")
        self._kept_to_come -= 1
        self._next_number = max(self._next_number, number + 1)
        execution = self._execs.get(number)
        if execution is None and number not in self._released:
            exec_id, command = read_note(str(report.get("note")))
            execution = Execution(self.sandbox, exec_id, number, command, ExecSpans(), self._link)
            execution.cgroup = self._container.make(exec_id) if self._container is not None else None
            self._add(execution, listed=True)
        if execution is None or report.get("waiting"):
            self._link.send(frames.RELEASE, number)
        else:
            execution.adopt(self._link, report)
        self._complete_if_all_kept()

    def _of_exec(self, execution: Execution, kind: int, payload: bytes) -> None:
        if kind in (frames.STDOUT, frames.STDERR):
            if len(payload) < frames.OFFSET.size:
                raise frames.FrameError("output without an offset")
            offset = frames.OFFSET.unpack_from(payload)[0]
            execution.wrote(kind == frames.STDERR, offset, payload[frames.OFFSET.size :])
            return
        message = frames.decode_json(payload)
        if kind == frames.FORKED:
            self._place(execution, _count(message, "pid"))
        elif kind == frames.STARTED:
            execution.began(_count(message, "exec_ns"))
        elif kind == frames.FAILED:
            execution.failed(_count(message, "errno"), str(message.get("step")))
        elif kind == frames.TAKEN:
            execution.took(_count(message, "bytes"))
        elif kind == frames.EXITED:
            execution.exited(message)
        else:
            raise frames.FrameError(f"a frame of an unknown kind, {kind}")

    def _place(self, execution: Execution, pid: int) -> None:
        """Puts the waiting child into a cgroup of its own before it may start its program."""
        if execution.pid:
            raise frames.FrameError("FORKED twice")
        if self._container is None:
            execution.forked(pid, None)
            return
        cgroup = self._container.make(execution.id)
        try:
            cgroup.admit(self._container.host_pid(pid))
        except ProcessLookupError:  # it failed or was killed already: the supervisor's next word says how
            cgroup.remove()
            execution.pid = pid
        except OSError as error:
            _log.warning("a child could not be placed", extra={"sandbox": self.sandbox, "error": str(error)})
            cgroup.remove()
            execution.failed(error.errno or 0, "cgroup")
        else:
            execution.forked(pid, cgroup)

    def _configure(self) -> None:
        if self._link is not None and self._attached.is_set():
            if self._configured is None or self._configured.done():
                self._configured = self._loop.create_future()
            self._link.send_json(frames.CONFIGURE, 0, {"doors": self.doors})

    def _was_configured(self) -> None:
        if self._configured is None:
            raise frames.FrameError("CONFIGURED out of turn")
        if not self._configured.done():
            self._configured.set_result(None)

    def _ponged(self) -> None:
        if self._pinged_at is None:
            raise frames.FrameError("PONG out of turn")
        self._round_trip_s = self._loop.time() - self._pinged_at
        self._pinged_at = None

    # --- the life of execs

    def _add(self, execution: Execution, listed: bool) -> None:
        self.touch()
        execution.finished = self._finished
        self._execs[execution.number] = execution
        if listed:
            self._by_id[execution.id] = execution

    def _finished(self, execution: Execution) -> None:
        """It ended, or never was: the supervisor may forget it; what is empty is removed."""
        self.touch()
        del self._execs[execution.number]
        self._released.append(execution.number)
        if self._link is not None:
            self._link.send(frames.RELEASE, execution.number)
        if execution.ending is None:
            self._by_id.pop(execution.id, None)
        self._lingering.append(execution)
        self._loop.call_soon(self._tidy)
        ended = [item for item in self._by_id.values() if item.ending is not None]
        for item in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._by_id[item.id]

    def _tidy(self) -> None:
        """Removes the cgroups in which nothing runs any more."""
        self._lingering = [item for item in self._lingering if item.cgroup and not item.cgroup.remove()]

    def _lose(self, why: str, init_out_of_memory: bool) -> None:
        for execution in list(self._execs.values()):
            execution.lose(why, init_out_of_memory)

    async def _await_return(self, dead_of_memory: bool) -> None:
        """Waits until the engine says that the container is gone, or the supervisor is back."""
        deadline = self._loop.time() + _RETURN_TIMEOUT_S
        pause_s = 0.01
        while not self._attached.is_set():
            fate = await self._keeper.fate(self.sandbox)
            if not fate.running:
                self._lose(fate.detail or "the sandbox ended", dead_of_memory or fate.out_of_memory)
                return
            if fate.paused:
                deadline = self._loop.time() + _RETURN_TIMEOUT_S
            if self._loop.time() > deadline:
                self._end("its supervisor hung up and did not dial again")
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.5)

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


def _count(message: dict[str, object], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise frames.FrameError(f"{name} is no count")
    return value
