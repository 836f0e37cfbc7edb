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
        kept = [item for item in self._execs.values() if not item.over()]
        self._line.send_json(
            frames.HELLO,
            0,
            {
                "version": frames.VERSION,
                "pid": os.getpid(),
                "started_ns": self._started_ns,
                "kept": len(kept),
                "landlock": self._restriction.version,
            },
        )
        for item in kept:
            item.repeat()

    def _obey(self, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.START:
            self._start(number, frames.decode_json(payload))
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
            item.go(payload)
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
        """Forks the child and says its pid; the host answers GO."""
        operation = message.get("file")
        order = spawn.Order(
            [str(item) for item in _list(message, "args")],
            exec_environment(self._environment, _strings(message, "env"), self._doors.open, message.get("terminal")),
            str(message.get("cwd", "")),
            _terminal(message.get("terminal")),
            {key: int(value) for key, value in _strings(message, "limits").items()},
            bool(message.get("stdin", True)),
        )
        run = None
        if operation is not None:
            run = lambda: _file_operation(operation)  # noqa: E731 - what the child does instead of a program
        step = "program"
        try:
            program = "" if run else spawn.find(order)
            step = "fork"
            child = spawn.fork(order, program, self._restriction.ruleset, run)
        except OSError as error:
            self._line.send_json(frames.FAILED, number, {"errno": error.errno, "step": step})
            return
        self._execs[number] = Exec(number, str(message.get("note", "")), child, self._reactor, self._line)
        self._line.send_json(frames.FORKED, number, {"pid": child.pid})

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
            if item is not None:
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


def _file_operation(operation: object) -> int:
    from . import files

    return files.perform(operation)


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
