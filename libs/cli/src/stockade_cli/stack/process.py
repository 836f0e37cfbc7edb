"""One supervised process: started, watched, started again when it ends, stopped."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from stockade_cli.stack.health import Probe
from stockade_cli.stack.logfile import LONGEST_LINE_BYTES, BoundedLog

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A process that has served this long starts over with the first backoff."""
PROBE_INTERVAL_SECONDS = 0.05
NICENESS = -5
OUT_OF_MEMORY_SCORE = -500
"""Of what serves all sandboxes: three times the CPU of what runs in them, and the last that the kernel kills."""
STOP_SECONDS = 15.0
"""How long a process may take to end after SIGTERM; then it is killed."""


class State(StrEnum):
    """What a process is doing."""

    STARTING = "starting"
    SERVING = "serving"
    WAITING = "waiting to start again"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Program:
    """What to run: its short name, command line, whole environment, and how to ask whether it serves."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    probe: Probe


class StartFailed(Exception):
    """A process did not come to serve; `line` says why, in its own last words."""

    def __init__(self, name: str, line: str) -> None:
        super().__init__(f"{name}: {line}")
        self.name, self.line = name, line


@dataclass
class Process:
    """A program as it runs. `changed` is called after each change of state."""

    program: Program
    log: BoundedLog
    changed: Callable[[], None]
    state: State = State.STOPPED
    pid: int = 0
    restarts: int = 0
    last_exit: int | None = None
    _stopping: bool = False
    _child: asyncio.subprocess.Process | None = None
    _keeper: asyncio.Task[None] | None = None
    _output: asyncio.Task[None] | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, seconds: float) -> None:
        """Start it and wait until it serves; from then on it is kept running. Raises StartFailed."""
        child = await self._spawn()
        ended = asyncio.ensure_future(child.wait())
        serving = asyncio.ensure_future(self._until_serving())
        await asyncio.wait({ended, serving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            serving.cancel()
            line = await self._last_words() if ended.done() else f"does not serve after {seconds:.0f} s"
            raise StartFailed(self.program.name, line)
        self._enter(State.SERVING)
        self._keeper = asyncio.create_task(self._keep(child))

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that was not enough."""
        self._stopping = True
        self._wake.set()
        if self._child is not None and self._child.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._child.wait(), STOP_SECONDS)
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._child.wait()
        if self._keeper is not None:
            await self._keeper
        self._enter(State.STOPPED)
        self.log.close()

    async def _keep(self, child: asyncio.subprocess.Process) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            since = time.monotonic()
            self.last_exit = await child.wait()
            if time.monotonic() - since > STEADY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            if self._stopping:
                return
            self._enter(State.WAITING)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), backoff)
            if self._stopping:
                return
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            self.restarts += 1
            try:
                child = await self._spawn()
            except OSError as error:  # no memory or no pid left: the next turn may find some
                self.log.write(f"cannot be started: {error}".encode())
                continue
            await self._serving_or_ended(child)

    async def _serving_or_ended(self, child: asyncio.subprocess.Process) -> None:
        ended = asyncio.ensure_future(child.wait())
        serving = asyncio.ensure_future(self._until_serving())
        await asyncio.wait({ended, serving}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            self._enter(State.SERVING)
        serving.cancel()

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._child = await asyncio.create_subprocess_exec(
            *self.program.command,
            env=dict(self.program.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE_BYTES,
            umask=0o027,
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the terminal is the supervisor's to hear, not theirs
        )
        self.pid = self._child.pid
        favour(self.pid)
        self._enter(State.STARTING)
        self._output = asyncio.create_task(self._copy_output(self._child))
        if self._stopping:
            self._signal(signal.SIGTERM)
        return self._child

    async def _copy_output(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        while True:
            try:
                line = await child.stdout.readuntil(b"\n")
            except asyncio.LimitOverrunError as error:
                line = await child.stdout.readexactly(error.consumed)
            except asyncio.IncompleteReadError as error:
                self.log.write(error.partial)
                return
            self.log.write(line)

    async def _until_serving(self) -> None:
        while not await self.program.probe():  # noqa: ASYNC110 another process can set no event of ours
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def _last_words(self) -> str:
        if self._output is not None:
            await self._output
        return self.log.last_message or "ended without a word"

    def _enter(self, state: State) -> None:
        self.state = state
        self.changed()

    def _signal(self, number: int) -> None:
        assert self._child is not None
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)


def favour(pid: int) -> None:
    """Put it before the sandboxes, as far as this host lets us; its threads and children follow."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(OUT_OF_MEMORY_SCORE))
