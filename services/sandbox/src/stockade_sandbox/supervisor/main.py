"""PID 1 of a sandbox: dials the host and does what the host asks for, until it is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence

from . import frames, immunity, kernel, mounts, spawn, tree
from .doors import Doors
from .environment import exec_environment
from .execs import Exec
from .line import Line
from .reactor import READ, Reactor
from .restriction import Restriction

_RUN_DIR = "/run/stockade"


class Supervisor:
    """Joins the line to the host, the execs and the doors."""

    def __init__(self, run_dir: str) -> None:
        self._started_ns = time.time_ns()
        self._reactor = Reactor()
        self._line = Line(f"{run_dir}/control.sock", self._reactor)
        self._doors = Doors(f"{run_dir}/egress.sock", self._reactor)
        self._secret = _first_secret(run_dir)
        self._execs: dict[int, Exec] = {}
        self._below: dict[int, Exec] = {}  # by the pids of their subreapers
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
                "prepares": 3,
                "secret": self._secret,
                "landlock": self._restriction.version,
            },
        )
        for item in kept:
            item.repeat()

    def _obey(self, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.START:
            self._start(number, frames.decode_json(payload))
        elif kind == frames.PREPARE:
            self._prepare(number, frames.decode_json(payload))
        elif kind == frames.PING:
            self._line.send(frames.PONG, 0, payload)
        elif kind == frames.CONFIGURE:
            self._configure(frames.decode_json(payload))
        elif kind == frames.SECRET:
            self._secret = str(frames.decode_json(payload)["secret"])
            self._line.send_json(frames.RENEWED, 0, {})
        elif kind == frames.QUIESCE:
            self._doors.quiesce()
            self._line.hang_up()
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
            self._fell(item)
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
            if "hold" in message or ("go" in message and item.go(str(message["go"]))):
                return
            self._discard(item)  # it has gone, or is not where it should be
        if "hold" in message or "go" in message:
            self._line.send_json(frames.FAILED, number, {"errno": 0, "step": "prepared"})
            return
        item = self._fork(number, _terminal(message.get("terminal")), bool(message.get("subreaper")))
        if item is not None:
            item.ordered(order, note)

    def _prepare(self, number: int, message: dict[str, object]) -> None:
        """Forks a child that goes to its place and waits there for its order."""
        entrances = self._line.descriptors(_integer(message, "entrances"))
        try:
            self._fork(number, _terminal(message.get("terminal")), entrances=entrances)
        finally:
            for fd in entrances:
                os.close(fd)

    def _fork(
        self,
        number: int,
        terminal: tuple[int, int] | None,
        below_subreaper: bool = False,
        entrances: Sequence[int] = (),
    ) -> Exec | None:
        """Forks a child and says its pid, once it has been through its entrances, or why there is none."""
        try:
            child = spawn.fork(terminal, self._restriction.ruleset, below_subreaper, entrances)
        except OSError as error:
            self._line.send_json(frames.FAILED, number, {"errno": error.errno, "step": "fork"})
            return None
        self._execs[number] = item = Exec(number, child, bool(entrances), self._reactor, self._line)
        if child.subreaper is not None:
            self._below[child.subreaper.pid] = item
            self._reactor.watch(child.subreaper.report, READ, lambda _events: self._on_report(item))
        if not entrances:
            self._line.send_json(frames.FORKED, number, {"pid": child.pid})
        return item

    def _on_report(self, item: Exec) -> None:
        """Its subreaper tells that the main process ended, or is gone itself."""
        if item.subreaper is None:
            return
        told = item.subreaper.told()
        self._reactor.forget(item.subreaper.report)
        os.close(item.subreaper.report)
        item.subreaper.report = -1
        if told is not None and item.running:
            self._exited(item, *told)
            self._sweep()

    def _fell(self, item: Exec) -> None:
        """Ends all that the exec started, as far as that is known by its place in the tree of processes."""
        if item.subreaper is None:
            item.signal(signal.SIGKILL, group=True)
            return
        tree.Felling(
            lambda: self._victims(item),
            self._reactor,
            lambda left: self._line.send_json(frames.KILLED, item.number, {"left": left}),
        )

    def _victims(self, item: Exec) -> list[int]:
        """What is below its subreaper; and what fell to PID 1, for that means that someone has killed a subreaper."""
        assert item.subreaper is not None
        family = tree.children()
        others = {other.pid for other in self._execs.values() if other is not item and other.running}
        strays = [pid for pid in family.get(1, []) if pid not in self._below and pid not in others]
        return [*strays, *tree.below([item.subreaper.pid, *strays], family)]

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
            item = by_pid.get(pid) or self._below.get(pid)
            if pid in self._below:
                self._lost_subreaper(self._below.pop(pid), status)
            elif item is not None and item.prepared:
                self._lost_prepared(item)
            elif item is not None:
                used = {"cpu_s": round(usage.ru_utime + usage.ru_stime, 6), "peak_kib": usage.ru_maxrss}
                self._exited(item, status, used)
        for item in self._execs.values():
            if item.entering:
                item.go_on()
        self._sweep()

    def _lost_prepared(self, item: Exec) -> None:
        """The host learns of it now if it waits for that child; else with the START that finds it gone."""
        if item.entering:
            self._line.send_json(frames.FAILED, item.number, {"errno": 0, "step": "prepared"})
        self._discard(item)

    def _lost_subreaper(self, item: Exec, status: int) -> None:
        """Nothing is below it any more; or it was killed, and perhaps knew how the main process ended."""
        assert item.subreaper is not None
        if item.subreaper.report >= 0:
            self._on_report(item)
        if item.running and not os.path.exists(f"/proc/{item.pid}"):
            self._exited(item, status, {})

    def _exited(self, item: Exec, status: int, used: Mapping[str, object]) -> None:
        left = len(tree.below([item.subreaper.pid], tree.children())) if item.subreaper is not None else 0
        full = mounts.full(self._places)[:8] if status else []
        item.exited(status, {**used, "full": full, "left": left})

    def _sweep(self) -> None:
        for number in [number for number, item in self._execs.items() if item.over()]:
            del self._execs[number]

    def _uncongested(self) -> None:
        for item in self._execs.values():
            item.uncongested()


def _first_secret(run_dir: str) -> str:
    """What proves this process to the host, where that asks for it; the host removes it when it has been used."""
    try:
        with open(f"{run_dir}/secret", encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return ""


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
    immunity.assume()
    import gc
    import resource

    gc.freeze()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Supervisor(_RUN_DIR).run()
