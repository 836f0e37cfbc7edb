"""A frozen sandbox is silent as it was told: it is neither late nor gone, until it runs again."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from stockade_sandbox.supervision import Fate, Supervision, absence
from stockade_sandbox.supervisor import frames

NAME = "sb-frozen"
HELLO = frames.encode_json(frames.HELLO, 0, {"version": frames.VERSION, "pid": 1, "started_ns": 0, "kept": 0})


@dataclass
class Keeper:
    """Says what it was told to, and remembers what it was asked to end."""

    fate_now: Fate = field(default_factory=lambda: Fate(running=True))
    ended: dict[str, str] = field(default_factory=dict)

    async def end(self, sandbox: str, why: str) -> None:
        self.ended[sandbox] = why

    async def fate(self, _sandbox: str) -> Fate:
        return self.fate_now


@dataclass
class Line:
    """A supervisor that the test plays, on the line."""

    supervision: Supervision
    keeper: Keeper
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    with tempfile.TemporaryDirectory(prefix="frz-") as directory:
        keeper = Keeper()
        supervision = Supervision(keeper)
        await supervision.open(NAME, Path(directory), doors=False)
        supervision.expect(NAME, os.getpid())
        reader, writer = await asyncio.open_unix_connection(Path(directory) / "control.sock")
        writer.write(HELLO)
        await supervision.attached(NAME, 2)
        yield Line(supervision, keeper, reader, writer)
        writer.close()
        await supervision.close(NAME)


async def test_what_a_frozen_one_owes_it_owes_from_when_it_runs_again(line: Line) -> None:
    line.supervision.post(NAME).ping()
    await asyncio.sleep(0.2)
    assert line.supervision.health(NAME).silent_s >= 0.2
    line.supervision.thawed(NAME)
    assert line.supervision.health(NAME).silent_s < 0.1
    line.writer.write(frames.encode(frames.PONG, 0, b""))
    async with asyncio.timeout(2):
        while line.supervision.health(NAME).silent_s:  # noqa: ASYNC110 - health is looked at, it does not tell
            await asyncio.sleep(0.01)


async def test_one_whose_supervisor_went_is_ended_once_it_runs_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absence, "_TIMEOUT_S", 0.2)
    line.keeper.fate_now = Fate(running=True, paused=True)
    line.writer.close()
    await asyncio.sleep(1)
    assert line.keeper.ended == {}
    line.keeper.fate_now = Fate(running=True)
    async with asyncio.timeout(5):
        while not line.keeper.ended:  # noqa: ASYNC110 - the keeper is told, it does not tell
            await asyncio.sleep(0.01)


async def test_one_that_broke_the_protocol_is_ended_frozen_or_not(line: Line) -> None:
    line.keeper.fate_now = Fate(running=True, paused=True)
    line.writer.write(frames.encode(frames.PONG, 0, b""))
    async with asyncio.timeout(2):
        while not line.keeper.ended:  # noqa: ASYNC110 - the keeper is told, it does not tell
            await asyncio.sleep(0.01)
    assert "broke the protocol" in line.keeper.ended[NAME]
