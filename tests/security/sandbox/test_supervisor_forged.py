"""A supervisor that has been taken over says what it likes: the host is unmoved and the sandbox ends.

The test is the supervisor: it dials as the process that is expected, so that everything it says is believed to come
from PID 1.
"""

import asyncio
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from stockade_sandbox.domain.ending import Ending, Reason
from stockade_sandbox.domain.execution import Command, ProgramNotStarted
from stockade_sandbox.supervision import Fate, Supervision
from stockade_sandbox.supervision.execution import Execution
from stockade_sandbox.supervision.note import write_note
from stockade_sandbox.supervisor import frames

NAME = "sb-forged"
MIB = 1 << 20


@dataclass
class Keeper:
    ended: dict[str, str] = field(default_factory=dict)

    async def end(self, sandbox: str, why: str) -> None:
        self.ended[sandbox] = why

    async def fate(self, sandbox: str) -> Fate:
        return Fate(running=sandbox not in self.ended)


@dataclass
class Forger:
    """The far end of the line, and what the host makes of it."""

    supervision: Supervision
    keeper: Keeper
    path: Path
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, kind: int, number: int = 0, message: object = None, raw: bytes | None = None) -> None:
        payload = raw if raw is not None else json.dumps(message).encode()
        self.writer.write(frames.encode(kind, number, payload))

    async def hear(self, kind: int) -> tuple[int, bytes]:
        """The number and payload of the next frame of a kind."""
        while True:
            length, found, number = frames.HEADER.unpack(await self.reader.readexactly(frames.HEADER.size))
            payload = await self.reader.readexactly(length)
            if found == kind:
                return number, payload

    async def introduce(self) -> None:
        self.say(frames.HELLO, 0, HELLO)
        await self.supervision.attached(NAME, 2)

    async def run(self) -> tuple[Execution, int]:
        """An exec that the host believes to run."""
        starting = asyncio.create_task(self.supervision.start(NAME, Command(args=("true",))))
        number, _order = await self.hear(frames.START)
        self.say(frames.FORKED, number, {"pid": 7})
        self.say(frames.STARTED, number, {"exec_ns": time.time_ns()})
        return await starting, number

    async def has_ended(self) -> str:
        """Why the host ended the sandbox; waits for it."""
        async with asyncio.timeout(3):
            while NAME not in self.keeper.ended:  # noqa: ASYNC110 - the keeper is told, it does not tell
                await asyncio.sleep(0.01)
        return self.keeper.ended[NAME]


HELLO = {"version": frames.VERSION, "pid": 1, "started_ns": 0, "kept": 0}


@pytest_asyncio.fixture
async def forger() -> AsyncIterator[Forger]:
    with tempfile.TemporaryDirectory(prefix="forge-") as directory:
        keeper = Keeper()
        supervision = Supervision(keeper)
        await supervision.open(NAME, Path(directory), doors=False)
        supervision.expect(NAME, os.getpid())
        reader, writer = await asyncio.open_unix_connection(Path(directory) / "control.sock")
        yield Forger(supervision, keeper, Path(directory), reader, writer)
        writer.close()
        await supervision.close(NAME)


BEFORE_HELLO: dict[str, Callable[[Forger], None]] = {
    "not HELLO": lambda f: f.say(frames.PONG),
    "another version": lambda f: f.say(frames.HELLO, 0, {**HELLO, "version": 99}),
    "no version": lambda f: f.say(frames.HELLO, 0, {}),
    "a HELLO that is a list": lambda f: f.say(frames.HELLO, 0, []),
    "a count below zero": lambda f: f.say(frames.HELLO, 0, {**HELLO, "kept": -1}),
    "a count beyond reason": lambda f: f.say(frames.HELLO, 0, {**HELLO, "kept": 10**9}),
    "a length beyond reason": lambda f: f.writer.write(frames.HEADER.pack(0xFFFFFFFF, frames.HELLO, 0)),
    "not the protocol": lambda f: f.writer.write(b"GET / HTTP/1.1\r\nHost: control.sock\r\n\r\n" * 10),
    "deep JSON": lambda f: f.say(frames.HELLO, 0, raw=b"[" * 60_000),
}

AFTER_HELLO: dict[str, Callable[[Forger], None]] = {
    "HELLO twice": lambda f: f.say(frames.HELLO, 0, HELLO),
    "a PONG nobody asked for": lambda f: f.say(frames.PONG, 0, raw=b""),
    "an exec there is not": lambda f: f.say(frames.STDOUT, 77, raw=bytes(9)),
    "KEPT that was not announced": lambda f: f.say(frames.KEPT, 1, {}),
    "an unknown kind": lambda f: f.say(200, 1, {}),
    "a frame of the host's own": lambda f: f.say(frames.START, 1, {}),
}

OF_AN_EXEC: dict[str, Callable[[Forger, int], None]] = {
    "output with a gap": lambda f, n: f.say(frames.STDOUT, n, raw=frames.OFFSET.pack(5) + b"x"),
    "output without an offset": lambda f, n: f.say(frames.STDOUT, n, raw=b"abc"),
    "empty output": lambda f, n: f.say(frames.STDOUT, n, raw=frames.OFFSET.pack(0)),
    "output at a huge offset": lambda f, n: f.say(frames.STDERR, n, raw=frames.OFFSET.pack(2**64 - 1) + b"x"),
    "FORKED again": lambda f, n: f.say(frames.FORKED, n, {"pid": 8}),
    "STARTED again": lambda f, n: f.say(frames.STARTED, n, {"exec_ns": 3}),
    "a time before time": lambda f, n: f.say(frames.STARTED, n, {"exec_ns": -3}),
    "EXITED without a status": lambda f, n: f.say(frames.EXITED, n, {"exit_ns": 1}),
    "a status that is none": lambda f, n: f.say(frames.EXITED, n, {"status": 1 << 40, "exit_ns": 1}),
    "a status that is a word": lambda f, n: f.say(frames.EXITED, n, {"status": "0", "exit_ns": 1}),
    "an end after all time": lambda f, n: f.say(frames.EXITED, n, {"status": 0, "exit_ns": 1 << 80}),
    "TAKEN below zero": lambda f, n: f.say(frames.TAKEN, n, {"bytes": -1}),
    "an unknown kind": lambda f, n: f.say(99, n, {}),
}


@pytest.mark.parametrize("misdeed", BEFORE_HELLO.values(), ids=BEFORE_HELLO)
async def test_before_it_has_introduced_itself(forger: Forger, misdeed: Callable[[Forger], None]) -> None:
    misdeed(forger)
    assert "broke the protocol" in await forger.has_ended()


@pytest.mark.parametrize("misdeed", AFTER_HELLO.values(), ids=AFTER_HELLO)
async def test_after_it_has_introduced_itself(forger: Forger, misdeed: Callable[[Forger], None]) -> None:
    await forger.introduce()
    misdeed(forger)
    assert "broke the protocol" in await forger.has_ended()


@pytest.mark.parametrize("misdeed", OF_AN_EXEC.values(), ids=OF_AN_EXEC)
async def test_about_an_exec_that_runs(forger: Forger, misdeed: Callable[[Forger, int], None]) -> None:
    await forger.introduce()
    execution, number = await forger.run()
    misdeed(forger, number)
    assert "broke the protocol" in await forger.has_ended()
    ending = await asyncio.wait_for(execution.ended(), 2)
    assert (ending.reason, ending.exit_code) == (Reason.SANDBOX_LOST, None)


async def test_the_end_that_it_brings_about_is_carried_through(forger: Forger) -> None:
    """Ending a sandbox closes its line, which must not cut the ending itself short."""
    carried_through = asyncio.Event()

    async def end(sandbox: str, _why: str) -> None:
        await forger.supervision.close(sandbox)
        await asyncio.sleep(0.05)
        carried_through.set()

    forger.keeper.end = end  # type: ignore[method-assign]
    await forger.introduce()
    forger.say(frames.PONG)
    await asyncio.wait_for(carried_through.wait(), 2)


async def test_output_beyond_the_window_ends_the_sandbox(forger: Forger) -> None:
    await forger.introduce()
    execution, number = await forger.run()
    offset = 0
    while NAME not in forger.keeper.ended and offset < 8 * MIB:
        forger.say(frames.STDOUT, number, raw=frames.OFFSET.pack(offset) + bytes(frames.CHUNK))
        offset += frames.CHUNK
        await asyncio.sleep(0)
    assert "window" in await forger.has_ended()
    assert execution.output.end < MIB


async def test_lies_about_an_exec_stay_within_it(forger: Forger) -> None:
    await forger.introduce()
    execution, number = await forger.run()
    lies = {"status": 0, "exit_ns": 2**62, "cpu_s": 1e300, "peak_kib": 2**70, "full": ["x" * 9000] * 99, "more": 1}
    forger.say(frames.EXITED, number, lies)
    ending = await asyncio.wait_for(execution.ended(), 2)
    assert isinstance(ending, Ending)
    assert (ending.usage.cpu_s, ending.usage.peak_memory_bytes) == (0.0, 0)


async def test_notes_that_are_not_the_hosts_end_the_sandbox(forger: Forger) -> None:
    good = write_note("ex-" + "a" * 12, None, Command(args=("true",)))
    report = {"note": good.replace("ex-aaa", "../../"), "pid": 3, "first": 0, "end": 0, "exec_ns": 1}
    forger.say(frames.HELLO, 0, {**HELLO, "kept": 1})
    forger.say(frames.KEPT, 3, report)
    assert "broke the protocol" in await forger.has_ended()


async def test_failures_it_invents_are_failures(forger: Forger) -> None:
    await forger.introduce()
    starting = asyncio.create_task(forger.supervision.start(NAME, Command(args=("true",))))
    number, _order = await forger.hear(frames.START)
    forger.say(frames.FAILED, number, {"errno": 99999, "step": "x" * 1000})
    with pytest.raises(ProgramNotStarted) as caught:
        await starting
    assert len(caught.value.step) <= 32


async def test_silence_instead_of_hello_is_hung_up_on(forger: Forger) -> None:
    assert await asyncio.wait_for(forger.reader.read(), 10) == b""


async def test_a_flood_of_valid_frames_leaves_the_loop_to_others(forger: Forger) -> None:
    await forger.introduce()
    _execution, number = await forger.run()
    flood = frames.encode_json(frames.TAKEN, number, {"bytes": 0}) * 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def pour() -> None:
        for _ in range(100):
            forger.writer.write(flood)
            await forger.writer.drain()

    pouring = asyncio.create_task(pour())
    loop = asyncio.get_running_loop()
    slowest = 0.0
    for _ in range(50):
        begun = loop.time()
        await asyncio.sleep(0.01)
        slowest = max(slowest, loop.time() - begun)
    pouring.cancel()
    assert slowest < 0.5
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 64 * 1024


async def test_random_bytes_never_move_the_host(forger: Forger) -> None:
    dice = random.Random(7)
    for _round in range(200):
        await forger.supervision.close(NAME)
        forger.keeper.ended.clear()
        await forger.supervision.open(NAME, forger.path, doors=False)
        forger.supervision.expect(NAME, os.getpid())
        forger.reader, forger.writer = await asyncio.open_unix_connection(forger.path / "control.sock")
        if dice.random() < 0.7:
            forger.say(frames.HELLO, 0, HELLO)
        for _frame in range(5):
            kind = dice.choice([*range(64, 76), dice.randrange(256)])
            forger.say(kind, dice.randrange(3), raw=dice.randbytes(dice.randrange(40)))
        with_error = asyncio.create_task(forger.has_ended())
        await asyncio.wait_for(with_error, 3)
        forger.writer.close()
