"""PID 1 of a sandbox: dials the host and does what the host asks for, until it is killed."""

from __future__ import annotations

import os
import signal
import time

from . import frames, kernel, mounts, spawn
from .doors import Doors
from .environment import exec_environment
from .execs import Exec
from .line import Line
from .reactor import Reactor
from .restriction import Restriction

_RUN_DIR = "/run/stockade"


class Supervisor:
    """Joins the line to the host, the execs and the doors."""

    def __init__(self, run_dir: str) -> None:
        self._started_ns = time.time_ns()
        self._reactor = Reactor()
        self._line = Line(f"{run_dir}/control.sock", self._reactor)
        self._doors = Doors(f"{run_dir}/egress.sock", self._reactor)
        self._execs: dict[int, Exec] = {}
        self._environment = dict(os.environ)
        self._places = mounts.writable()
        self._restriction = Restriction(self._places)
        self._line.on_connect = self._introduce
        self._line.on_frame = self._obey
        self._line.on_uncongested = self._uncongested
        self._reactor.on_child(self._reap)

    def run(self) -> None:
        """Serves for ever."""
        self._line.dial()
        self._reactor.run()

    def _introduce(self) -> None:
        for item in [item for item in self._execs.values() if item.prepared]:
            self._discard(item)
        kept = [item for item in self._execs.values() if not item.over()]
        self._line.send_json(
            frames.HELLO,
            0,
            {
                "version": frames.VERSION,
                "pid": os.getpid(),
                "started_ns": self._started_ns,
                "kept": len(kept),
                "prepares": True,
                "landlock": self._restriction.version,
            },
        )
        for item in kept:
            item.repeat()

    def _obey(self, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.START:
            self._start(number, frames.decode_json(payload))
        elif kind == frames.PREPARE:
            self._fork(number, None)
        elif kind == frames.PING:
            self._line.send(frames.PONG, 0, payload)
        elif kind == frames.CONFIGURE:
            self._configure(frames.decode_json(payload))
        elif number in self._execs:
            self._tell(self._execs[number], kind, payload)

    def _configure(self, message: dict[str, object]) -> None:
        self._doors.set_open(bool(message["doors"]))
        self._line.send_json(frames.CONFIGURED, 0, {"doors": self._doors.open})

    def _tell(self, item: Exec, kind: int, payload: bytes) -> None:
        if kind == frames.GO:
            item.go(payload.decode())
        elif kind == frames.STDIN:
            item.give(payload)
        elif kind == frames.CLOSE_STDIN:
            item.close_input()
        elif kind == frames.SIGNAL:
            message = frames.decode_json(payload)
            item.signal(_integer(message, "signal"), bool(message.get("group")))
        elif kind == frames.RESIZE:
            message = frames.decode_json(payload)
            item.resize(_integer(message, "rows"), _integer(message, "columns"))
        elif kind == frames.ACK:
            item.acknowledge(frames.OFFSET.unpack(payload)[0])
        elif kind == frames.KILL:
            item.signal(signal.SIGKILL, group=True)
        elif kind == frames.RELEASE:
            item.release()
            self._sweep()
        else:
            raise frames.FrameError(f"a frame of an unknown kind, {kind}")

    def _start(self, number: int, message: dict[str, object]) -> None:
        """Takes the child that was prepared for it, or forks one; the host's GO follows, or came with it."""
        order = spawn.Order(
            [str(item) for item in _list(message, "args")],
            exec_environment(self._environment, _strings(message, "env"), self._doors.open, message.get("terminal")),
            str(message.get("cwd", "")),
            {key: int(value) for key, value in _strings(message, "limits").items()},
            bool(message.get("stdin", True)),
            _operation(message.get("file")),
        )
        note = str(message.get("note", ""))
        item = self._execs.get(number)
        if item is not None:
            item.ordered(order, note)
            if "go" in message and item.go(str(message["go"])):
                return
            self._discard(item)  # it has gone, or is not where it should be
        item = self._fork(number, _terminal(message.get("terminal")))
        if item is not None:
            item.ordered(order, note)

    def _fork(self, number: int, terminal: tuple[int, int] | None) -> Exec | None:
        """Forks a child and says its pid, or why there is none."""
        try:
            child = spawn.fork(terminal, self._restriction.ruleset)
        except OSError as error:
            self._line.send_json(frames.FAILED, number, {"errno": error.errno, "step": "fork"})
            return None
        self._execs[number] = item = Exec(number, child, self._reactor, self._line)
        self._line.send_json(frames.FORKED, number, {"pid": child.pid})
        return item

    def _discard(self, item: Exec) -> None:
        item.discard()
        del self._execs[item.number]

    def _reap(self) -> None:
        """Collects every child that ended: mains of execs, and orphans that fell to PID 1."""
        by_pid = {item.pid: item for item in self._execs.values() if item.running}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            item = by_pid.get(pid)
            if item is not None and item.prepared:  # START will fork another
                self._discard(item)
            elif item is not None:
                item.exited(
                    status,
                    {
                        "cpu_s": round(usage.ru_utime + usage.ru_stime, 6),
                        "peak_kib": usage.ru_maxrss,
                        "full": mounts.full(self._places)[:8] if status else [],
                    },
                )
        self._sweep()

    def _sweep(self) -> None:
        for number in [number for number, item in self._execs.items() if item.over()]:
            del self._execs[number]

    def _uncongested(self) -> None:
        for item in self._execs.values():
            item.uncongested()


def _integer(message: dict[str, object], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int):
        raise frames.FrameError(f"{name} is not a number")
    return value


def _list(message: dict[str, object], name: str) -> list[object]:
    value = message.get(name, [])
    if not isinstance(value, list):
        raise frames.FrameError(f"{name} is not a list")
    return value


def _strings(message: dict[str, object], name: str) -> dict[str, str]:
    value = message.get(name, {})
    if not isinstance(value, dict):
        raise frames.FrameError(f"{name} is not a map")
    return {str(key): str(item) for key, item in value.items()}


def _operation(value: object) -> dict[str, object] | None:
    return value if isinstance(value, dict) else None


def _terminal(value: object) -> tuple[int, int] | None:
    if not isinstance(value, dict):
        return None
    return _integer(value, "rows"), _integer(value, "columns")


def main() -> None:
    """Hides this process from its own uid, renounces what a process can renounce, and serves."""
    kernel.hide()
    kernel.renounce_privileges()
    import gc
    import resource

    gc.freeze()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Supervisor(_RUN_DIR).run()
