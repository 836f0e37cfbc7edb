"""One exec as the host sees it, from the order to its ending."""

import asyncio
import errno
import os
import time
from collections.abc import AsyncGenerator, Callable

from stockade_sandbox.cgroups import Counters, ExecCgroup
from stockade_sandbox.domain.ending import Ending, Observed, Reason, Stop, conclude, exit_code, exit_signal
from stockade_sandbox.domain.execution import Command, ExecEnded, ExecState, ProgramNotStarted, TerminalSize
from stockade_sandbox.supervision.accounting import counted, observed, usage
from stockade_sandbox.supervision.link import Link
from stockade_sandbox.supervision.output import CAPACITY, Gap, Output, Piece
from stockade_sandbox.supervision.spans import ExecSpans
from stockade_sandbox.supervisor import frames

_KILL_TIMEOUT_S = 5.0


class Execution:
    """An exec: its state, its output and what may be told to it. Belongs to one event loop."""

    def __init__(
        self, sandbox: str, exec_id: str, number: int, command: Command, spans: ExecSpans, link: Link | None
    ) -> None:
        self.sandbox = sandbox
        self.id = exec_id
        self.number = number
        self.command = command
        self.spans = spans
        self.state = ExecState.STARTING
        self.pid = 0
        self.order: dict[str, object] = {}  # what its supervisor was told, until it runs
        self.held_by: object = None  # who still has to permit what it does
        self._prepared = False  # whether its child was made ahead of time, so that another may be made
        self._word: str | None = None  # what its child, which waits in its place, is let go with
        self.request_id = ""
        self.start_ns = time.time_ns()
        self.ending: Ending | None = None
        self.output = Output()
        self.cgroup: ExecCgroup | None = None
        self.finished: Callable[[Execution], None] = lambda _execution: None
        self.escaped: Callable[[Execution], None] = lambda _execution: None
        self._link = link
        self._readers: dict[object, int] = {self: 0}  # each reader's offset; until the first comes, itself
        self._news = asyncio.Event()
        self._stop: Stop | None = None
        self._killed = False
        self._left: int | None = None  # how many processes a kill from inside, or the program's end, left
        self._killing: asyncio.Task[None] | None = None
        self._exiting = False
        self._deadline: asyncio.TimerHandle | None = None
        self._expected = 0  # the offset of the next byte from the supervisor
        self._acknowledged = self._input_on_the_way = 0
        self._failure: ProgramNotStarted | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def attached(self) -> bool:
        """Whether its supervisor is on the line."""
        return self._link is not None

    @property
    def ended_by_itself(self) -> bool:
        """Whether its main process was seen to end, and nothing of it was to be killed."""
        return self._stop is None and self.ending is not None and self.ending.reason is not Reason.SANDBOX_LOST

    # --- what callers do

    async def started(self) -> None:
        """Returns once the program runs, or has ended. Raises ProgramNotStarted. Cancelled, it stops the exec."""
        try:
            while self.state is ExecState.STARTING:
                await self._next_news()
        except asyncio.CancelledError:
            self.stop(Stop.CANCELLED)
            raise

    async def ended(self) -> Ending:
        """How it ended, once it has."""
        while self.ending is None:
            await self._next_news()
        return self.ending

    async def read(self, offset: int = 0) -> AsyncGenerator[Piece | Gap | Ending, None]:
        """Its output from `offset`, then its ending.

        While a reader lags, or none has come yet, the program is held back. When all have gone it runs on, and only
        the newest output is kept.
        """
        reader = object()
        self._readers[reader] = offset
        self._readers.pop(self, None)
        try:
            while True:
                item = self.output.after(offset)
                if item is not None:
                    yield item
                    offset = item.end if isinstance(item, Gap) else item.offset + len(item.data)
                    self._readers[reader] = offset
                    self._acknowledge()
                elif self.ending is not None:
                    yield self.ending
                    return
                else:
                    await self._next_news()
        finally:
            del self._readers[reader]
            self._acknowledge()

    async def write(self, data: bytes) -> None:
        """Bytes for its standard input; held back while the program does not read. Nothing once it has ended."""
        for start in range(0, len(data), frames.CHUNK):
            piece = data[start : start + frames.CHUNK]
            while self._input_on_the_way + len(piece) > frames.STDIN_WINDOW and self.ending is None:
                await self._next_news()
            if self.ending is not None:
                return
            self._input_on_the_way += len(piece)
            self._tell(frames.STDIN, piece)

    def close_input(self) -> None:
        """Closes its standard input after what has been written."""
        self._tell(frames.CLOSE_STDIN)

    def signal(self, number: int, group: bool = False) -> None:
        """Signals its main process or that one's group. Raises ExecEnded."""
        if self.ending is not None:
            raise ExecEnded(self.id, self.ending.reason)
        self._tell_json(frames.SIGNAL, {"signal": number, "group": group})

    def resize(self, size: TerminalSize) -> None:
        """Sets the size of its terminal."""
        self._tell_json(frames.RESIZE, {"rows": size.rows, "columns": size.columns})

    def stop(self, why: Stop) -> None:
        """Kills its whole tree, once; the first reason stands."""
        if self._stop is None and self.ending is None:
            self._stop = why
            self._acknowledge()
            if self.pid:
                self._killing = self._loop.create_task(self._kill())

    # --- what the supervisor says

    def _placed(self, pid: int, cgroup: ExecCgroup | None) -> str | None:
        """Its child waits in its cgroup: what to let it start with, or None where it was stopped before."""
        self.pid = pid
        self.cgroup = cgroup
        if self._stop is None:
            return self.spans.forked()
        self._killing = self._loop.create_task(self._kill())
        return None

    def prepared(self, pid: int, cgroup: ExecCgroup | None, last: bool) -> dict[str, object]:
        """Its child waits already: what START says of that. `last`: where that one has gone, it has none."""
        word = self._placed(pid, cgroup)
        self._prepared = not last
        if word is None:
            return {"hold": True}
        if self.held_by is None:
            return {"go": word}
        self._word = word
        return {"hold": True}

    def forked(self, pid: int) -> None:
        """Its child waits: let it start, once it may."""
        self._word = self._placed(pid, None)
        if self.held_by is None:
            self._let_go()

    def permit(self) -> None:
        """What it does may be done."""
        self.held_by = None
        self._let_go()

    def _let_go(self) -> None:
        if self._word is not None:
            self._tell(frames.GO, self._word.encode())
            self._word = None

    def unprepared(self) -> bool:
        """The child that was made ahead of time had gone before it had its order: whether it is to have another."""
        again = self._prepared and self._stop is None
        self._prepared = False
        if again:
            self.pid, self._word = 0, None
        return again

    def told(self, kind: int, payload: bytes) -> None:
        """What its supervisor says of it, once it has a child. Raises FrameError."""
        if kind in (frames.STDOUT, frames.STDERR):
            if len(payload) < frames.OFFSET.size:
                raise frames.FrameError("output without an offset")
            offset = frames.OFFSET.unpack_from(payload)[0]
            self.wrote(kind == frames.STDERR, offset, payload[frames.OFFSET.size :])
            return
        message = frames.decode_json(payload)
        if kind == frames.STARTED:
            self.began(frames.count(message, "exec_ns"))
        elif kind == frames.FAILED:
            self.failed(frames.count(message, "errno"), str(message.get("step")))
        elif kind == frames.TAKEN:
            self.took(frames.count(message, "bytes"))
        elif kind == frames.EXITED:
            self.exited(message)
        elif kind == frames.KILLED:
            self.killed(frames.count(message, "left"))
        else:
            raise frames.FrameError(f"a frame of an unknown kind, {kind}")

    def began(self, exec_ns: int) -> None:
        """Its program runs."""
        if self.state is not ExecState.STARTING or not self.pid:
            raise frames.FrameError("STARTED out of turn")
        self._runs(exec_ns)

    def failed(self, number: int, step: str) -> None:
        """There is no program: why, and at which step. A refused fork is the pids limit and an ending like others."""
        if self._stop is not None:
            self._conclude(Observed(stop=self._stop))
            return
        if step == "fork" and number == errno.EAGAIN:
            self._conclude(Observed(status=1 << 8, pids_refused=1))
            return
        name = errno.errorcode.get(number, str(number))
        detail = os.strerror(number) if number else "its order could not be carried out"
        self._failure = ProgramNotStarted(self.command.args[0], name, step[:32], detail)
        self.state = ExecState.ENDED
        self.spans.failed(detail)
        self.finished(self)
        self._tell_readers()

    def wrote(self, stderr: bool, offset: int, data: bytes) -> None:
        """It wrote. Raises FrameError where bytes are missing or more than the window.

        After a reconnect the supervisor repeats what it holds: what is known already is passed over.
        """
        if offset != self._expected or not data or self.ending is not None:
            raise frames.FrameError("output out of turn")
        if offset + len(data) > self._acknowledged + frames.WINDOW:
            raise frames.FrameError("more output than the window allows")
        self._expected += len(data)
        new = data[max(0, self.output.end - offset) :]
        room = self.command.max_output_bytes - self.output.end
        if new and room > 0:
            self.output.append(stderr, new[:room])
        if len(new) > room:
            self.stop(Stop.OUTPUT_LIMIT)
        self._acknowledge()
        self._tell_readers()

    def took(self, count: int) -> None:
        """So many bytes of input have been passed on."""
        self._input_on_the_way = max(0, self._input_on_the_way - count)
        self._tell_readers()

    def killed(self, left: int) -> None:
        """All that it started has been killed, but for so many processes."""
        if self._killing is None:
            raise frames.FrameError("KILLED out of turn")
        self._left = left
        self._tell_readers()

    def exited(self, report: dict[str, object]) -> None:
        """Its main process ended; a kill under way is waited for, so that what the cgroup says is whole."""
        status, exit_ns, _left = report.get("status"), *(frames.count(report, name, 0) for name in ("exit_ns", "left"))
        if not isinstance(status, int) or not 0 <= status <= 0xFFFF:
            raise frames.FrameError("EXITED without a wait status")
        if self._exiting or not self.pid:
            raise frames.FrameError("EXITED out of turn")
        if self._killing is None or self._killing.done():
            self._exit(report, status, exit_ns)
        else:
            self._exiting = True
            self._killing.add_done_callback(lambda _task: self._exit(report, status, exit_ns))

    def _exit(self, report: dict[str, object], status: int, exit_ns: int) -> None:
        if self._left is None:
            self._left = frames.count(report, "left", 0)
        counters = counted(self.cgroup)
        self.spans.exited(exit_ns, exit_code(status), exit_signal(status))
        self._conclude(observed(status, self._stop, counters, report, self.output.last_stderr), counters, report)

    # --- what becomes of the line

    def adopt(self, link: Link, report: dict[str, object]) -> None:
        """A supervisor that knew this exec before says how far it is; its kept output follows."""
        first, end, pid, waits, exec_ns = (
            frames.count(report, name, 0) for name in ("first", "end", "pid", "input", "exec_ns")
        )
        if not 0 <= end - first <= 2 * frames.WINDOW:
            raise frames.FrameError("KEPT with more output than the window allows")
        self._link = link
        self._readers.pop(self, None)
        self.pid = pid
        self._input_on_the_way = waits
        if first > self.output.end:
            self.output = Output(first)
        self._expected = first
        self._acknowledged = max(self._acknowledged, first, end - frames.WINDOW)
        if self.state is ExecState.STARTING and exec_ns:
            self._runs(exec_ns)

    def detach(self) -> None:
        """The line broke; it may come back."""
        self._link = None

    def lose(self, why: str, init_out_of_memory: bool) -> None:
        """The sandbox is gone, and with it every way to see the end."""
        if self.ending is None:
            stop = self._stop if self._killed else None
            self._conclude(Observed(stop=stop, init_out_of_memory=init_out_of_memory, lost=why))

    # --- inside

    def _runs(self, exec_ns: int) -> None:
        """It runs since `exec_ns`; the timeout counts from there, also through a restart of the service."""
        self.start_ns = exec_ns
        self.state = ExecState.RUNNING
        self.order = {}
        self.spans.started(exec_ns)
        left = self.command.timeout_s - max(0.0, (time.time_ns() - exec_ns) / 1e9)
        self._deadline = self._loop.call_later(max(0.0, left), self.stop, Stop.TIMEOUT)
        self._tell_readers()

    async def _kill(self) -> None:
        if self.cgroup is not None:
            self._killed = await self.cgroup.kill()
        else:
            self._tell(frames.KILL)
            self._killed = await self._killed_inside()
            if not self._killed:
                self.escaped(self)

    async def _killed_inside(self) -> bool:
        """Whether the supervisor has killed all of it in time; where the line broke meanwhile, that is told later."""
        try:
            async with asyncio.timeout(_KILL_TIMEOUT_S):
                while self._left is None and self.ending is None:
                    await self._next_news()
        except TimeoutError:
            return False
        return not self._left

    def _conclude(
        self, seen: Observed, counters: Counters | None = None, report: dict[str, object] | None = None
    ) -> None:
        reason, detail = conclude(seen)
        left = len(self.cgroup.pids()) if self.cgroup is not None else self._left or 0
        now = time.time_ns()
        status = seen.status if report is not None else None
        self.ending = Ending(
            reason=reason,
            exit_code=exit_code(status),
            signal=exit_signal(status),
            detail=detail,
            output_partial=reason not in (Reason.EXITED, Reason.SIGNALLED),
            output_bytes=self.output.end,
            usage=usage(now - self.start_ns, counters or counted(self.cgroup), report or {}, seen.pids_refused, left),
            end_ns=now,
        )
        self.state = ExecState.ENDED
        if self._deadline is not None:
            self._deadline.cancel()
        self.spans.ended(self.ending)
        self.finished(self)
        self._tell_readers()

    def _acknowledge(self) -> None:
        """Lets the supervisor send so much that the slowest reader still finds all it has not read."""
        if self._stop is not None:  # its end must not wait for a reader
            taken = self._expected
        else:
            slowest = min(self._readers.values(), default=self.output.end)
            taken = min(self._expected, max(slowest, self.output.first) + CAPACITY - frames.WINDOW)
        if taken - self._acknowledged >= frames.WINDOW // 4 or taken == self._expected > self._acknowledged:
            self._acknowledged = taken
            self._tell(frames.ACK, frames.OFFSET.pack(taken))

    def _tell_readers(self) -> None:
        """Wakes all who wait; each waits on the event it saw last."""
        self._news.set()
        self._news = asyncio.Event()

    async def _next_news(self) -> None:
        """Returns when anything has changed. Raises ProgramNotStarted when there never was a program."""
        if self._failure is None:
            await self._news.wait()
        if self._failure is not None:
            raise self._failure

    def _tell(self, kind: int, payload: bytes = frames.EMPTY) -> None:
        if self._link is not None and self.ending is None:
            self._link.send(kind, self.number, payload)

    def _tell_json(self, kind: int, message: dict[str, object]) -> None:
        if self._link is not None and self.ending is None:
            self._link.send_json(kind, self.number, message)
