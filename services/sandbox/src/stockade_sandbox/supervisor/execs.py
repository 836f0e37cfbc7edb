"""One exec as the supervisor sees it: its child, its pipes, and the output it holds until the host has taken it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections import deque

from . import frames, spawn
from .line import Line
from .reactor import READ, WRITE, Reactor


class Exec:
    """An exec from fork to release. `number` and `note` are the host's; the note is given back after a reconnect."""

    def __init__(self, number: int, child: spawn.Child, entering: bool, reactor: Reactor, line: Line) -> None:
        self.number = number
        self.note = ""
        self.pid = child.pid
        self.subreaper = child.subreaper
        self.fork_ns = time.time_ns()
        self.exec_ns = 0
        self.running = True
        self._child = child
        self._reactor = reactor
        self._line = line
        self.prepared = True  # and nobody has asked for it yet
        self.entering = entering  # and is not in its place yet
        self._order: spawn.Order | None = None  # until the word comes
        self._packed = b""  # what the child has not taken yet of its order
        self._open = {fd for fd in (child.stdout, child.stderr) if fd >= 0}
        self._input: deque[bytes] = deque()
        self._input_size = 0
        self._input_closing = False
        self._kept: deque[tuple[int, int, bytes]] = deque()  # (kind, offset, data), what the host may ask again
        self._first = self._end = self._acknowledged = 0
        self._ended: dict[str, object] | None = None  # what EXITED says, once the main process has ended
        self._failure: dict[str, object] | None = None  # what FAILED says, where there was no program
        self._told = False
        self._released = False
        self._silent = False
        reactor.watch(child.status, READ, self._on_status)

    # --- what the host says

    def ordered(self, order: spawn.Order, note: str) -> None:
        """What it will run, when the word comes."""
        self.prepared, self._order, self.note = False, order, note
        if not order.stdin:
            self._drop("stdin")

    def go(self, traceparent: str) -> bool:
        """The child is in its place: give it its order, in the trace it belongs to. False where it has gone."""
        if self._child.go < 0 or self._order is None:
            return False
        self._packed, self._order = self._order.pack(traceparent[:128]), None
        self.go_on()
        alive = self._hand_over()
        if self._packed:
            self._reactor.watch(self._child.go, WRITE, self._on_go)
        self._watch_output()
        return alive

    def go_on(self) -> None:
        """Another program of this uid may have stopped it while it waited."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)

    def give(self, data: bytes) -> None:
        """Bytes for its standard input. Raises FrameError when the host sends more than it was allowed."""
        if self._told:
            return
        if self._child.stdin < 0:
            self._line.send_json(frames.TAKEN, self.number, {"bytes": len(data)})
            return
        self._input.append(data)
        self._input_size += len(data)
        if self._input_size > frames.STDIN_WINDOW:
            raise frames.FrameError("more input than the window allows")
        self._reactor.watch(self._child.stdin, WRITE, self._on_input)

    def close_input(self) -> None:
        """Closes its standard input once all that was given has been passed on. A terminal gets its EOF character."""
        if self._child.terminal:
            self.give(b"\x04")
            return
        self._input_closing = True
        if not self._input:
            self._drop("stdin")

    def signal(self, number: int, group: bool) -> None:
        """Signals its main process or that one's group; nothing once it has ended."""
        if not self.running:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if group else os.kill)(self.pid, number)

    def resize(self, rows: int, columns: int) -> None:
        """Sets the size of its terminal, if it has one."""
        if self._child.terminal and self._child.stdout >= 0:
            spawn.resize(self._child.stdout, rows, columns)

    def acknowledge(self, offset: int) -> None:
        """The host has taken the output before `offset`."""
        self._acknowledged = max(self._acknowledged, min(offset, self._end))
        self._watch_output()

    def repeat(self) -> None:
        """Says again, on a new line, what it is and all the output that is held."""
        self._acknowledged = max(self._acknowledged, self._first)
        self._line.send_json(
            frames.KEPT,
            self.number,
            {
                "note": self.note,
                "pid": self.pid,
                "first": self._first,
                "end": self._end,
                "running": self.running,
                "waiting": self._child.go >= 0,
                "input": self._input_size,
                "terminal": self._child.terminal,
                "fork_ns": self.fork_ns,
                "exec_ns": self.exec_ns,
            },
        )
        for kind, offset, data in self._kept:
            self._line.send(kind, self.number, frames.OFFSET.pack(offset) + data)
        if self._failure is not None:
            self._line.send_json(frames.FAILED, self.number, self._failure)
        elif self._told and self._ended is not None:
            self._line.send_json(frames.EXITED, self.number, self._ended)

    def release(self) -> None:
        """The host has all it wants of this exec. What still writes to its pipes is read and thrown away."""
        self._kept.clear()
        self._released = self._told = self._silent = True
        for name in ("go", "status", "stdin"):
            self._drop(name)
        self._watch_output()

    def discard(self) -> None:
        """It was prepared and is not wanted any more: its child, if it lives, finds no order and ends."""
        for name in ("go", "status", "stdin", "stdout", "stderr"):
            self._drop(name)

    def over(self) -> bool:
        """Whether nothing is left to do for it."""
        return self._released and not self.running and not self._open

    # --- what the program does

    def exited(self, status: int, usage: dict[str, object]) -> None:
        """The main process ended with this wait status."""
        self.running = False
        self._ended = {"status": status, "exit_ns": time.time_ns(), **usage}
        self._drop("stdin")
        if self._child.status >= 0:
            self._on_status(READ)
        self._finish_if_drained()

    def _on_go(self, _events: int) -> None:
        self._hand_over()

    def _hand_over(self) -> bool:
        """Writes what the child takes of its order; whether it is there to take it."""
        try:
            self._packed = self._packed[os.write(self._child.go, self._packed) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            self._packed = b""
            self._drop("go")
            return False
        if not self._packed:
            self._drop("go")
        return True

    def _on_status(self, _events: int) -> None:
        """The child is in its place; or the pipe ended (the program runs), or says why there is none."""
        try:
            report = os.read(self._child.status, 64)
        except BlockingIOError:
            return
        if self.entering and report.startswith(spawn.ENTERED):
            self.entering, report = False, report.removeprefix(spawn.ENTERED)
            self._line.send_json(frames.FORKED, self.number, {"pid": self.pid})
            if not report:
                return
        if self.prepared:
            self.discard()
            return
        self._drop("status")
        self._drop("go")
        if report:
            number, step = report.decode().split()
            self._told = self._silent = True
            self._failure = {"errno": int(number), "step": step}
            self._line.send_json(frames.FAILED, self.number, self._failure)
        elif self.exec_ns == 0:
            self.exec_ns = time.time_ns()
            self._line.send_json(frames.STARTED, self.number, {"fork_ns": self.fork_ns, "exec_ns": self.exec_ns})

    def _on_input(self, _events: int) -> None:
        data = self._input[0]
        try:
            written = os.write(self._child.stdin, data)
        except BlockingIOError:
            return
        except OSError:  # the program does not read any more: what is left is thrown away
            written = self._input_size
            self._input.clear()
            self._input_closing = True
        else:
            self._input.popleft()
            if written < len(data):
                self._input.appendleft(data[written:])
        self._input_size -= written
        self._line.send_json(frames.TAKEN, self.number, {"bytes": written})
        if not self._input:
            self._reactor.forget(self._child.stdin)
            if self._input_closing:
                self._drop("stdin")

    def _watch_output(self) -> None:
        """Reads on only while the host keeps up: then the pipe fills and the program waits."""
        full = self._end - self._acknowledged >= frames.WINDOW or self._line.congested()
        for fd in self._open:
            if full and not self._silent:
                self._reactor.forget(fd)
            else:
                kind = frames.STDERR if fd == self._child.stderr else frames.STDOUT
                self._reactor.watch(fd, READ, lambda _events, fd=fd, kind=kind: self._on_output(fd, kind))  # type: ignore[misc]

    def uncongested(self) -> None:
        """The line takes more again."""
        self._watch_output()

    def _on_output(self, fd: int, kind: int) -> None:
        """Passes on what the program wrote."""
        room = frames.CHUNK if self._silent else frames.WINDOW - (self._end - self._acknowledged)
        if room <= 0:
            self._watch_output()
            return
        try:
            data = os.read(fd, min(frames.CHUNK, room))
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose last user has gone
                raise
            data = b""
        if not data:
            self._close_output(fd)
        elif not self._silent:
            self._pass_on(kind, data)

    def _pass_on(self, kind: int, data: bytes) -> None:
        self._kept.append((kind, self._end, data))
        self._line.send(kind, self.number, frames.OFFSET.pack(self._end) + data)
        self._end += len(data)
        while self._kept and self._end - self._kept[0][1] - len(self._kept[0][2]) >= frames.WINDOW:
            _kind, offset, oldest = self._kept.popleft()
            self._first = offset + len(oldest)
        if self._end - self._acknowledged >= frames.WINDOW or self._line.congested():
            self._watch_output()
        self._finish_if_drained()

    def _close_output(self, fd: int) -> None:
        self._open.discard(fd)
        self._reactor.forget(fd)
        os.close(fd)
        if fd == self._child.stdout:
            self._child.stdout = -1
        else:
            self._child.stderr = -1
        self._finish_if_drained()

    def _finish_if_drained(self) -> None:
        """Tells the ending once the main process has ended and what it left in its pipes has been passed on.

        Descendants that still hold the pipes do not delay it: an empty pipe is enough.
        """
        if self._ended is None or self._told or self._full_pipe():
            return
        self._told = self._silent = True
        self._ended["end"] = self._end
        self._line.send_json(frames.EXITED, self.number, self._ended)

    def _full_pipe(self) -> bool:
        poll = select.poll()
        for fd in self._open:
            poll.register(fd, select.POLLIN)
        return any(events & select.POLLIN for _fd, events in poll.poll(0))

    def _drop(self, name: str) -> None:
        fd = getattr(self._child, name)
        if fd >= 0:
            self._reactor.forget(fd)
            os.close(fd)
            setattr(self._child, name, -1)
