"""The SDK against a real stack: blocking and with await, the same."""

from pathlib import Path

import pytest
from stockade_agent import AsyncStockade, InvalidRequest, Result, Stockade, StockadeError, Unreachable

from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


def test_blocking(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "number").write_text("42")
    seen: list[bytes] = []
    with Stockade.connect(stack.run_dir) as stockade:
        with stockade.sandbox("sdk-1", agent_type="test-generator") as sandbox:
            assert sandbox.upload(tmp_path / "in") == 2
            result = sandbox.run("sh", "-c", "cat number; echo err >&2; exit 3", on_stdout=seen.append)
            assert (result.stdout, result.stderr) == (b"42", b"err\n")
            assert (result.ending.reason, result.ending.exit_code, result.ending.ok) == ("EXITED", 3, False)
            assert seen == [b"42"]
            assert sandbox.run("cat", stdin=b"told").stdout == b"told"
            assert sandbox.run("sleep", "60", timeout=0.3).ending.reason == "TIMEOUT"
            assert sandbox.run("env", env={"A": "b"}, cwd="/tmp").stdout.splitlines().count(b"A=b") == 1
            assert sandbox.download("/workspace/number", tmp_path) == 1
            assert sandbox.usage().memory.peak_bytes > 0
            name = sandbox.name
        with pytest.raises(StockadeError) as caught, stockade.sandbox("sdk-1", image="stockade/absent"):
            pass
        assert caught.value.reason == "IMAGE_MISSING"
    assert (tmp_path / "number").read_text() == "42"
    assert name not in stack.stockade("sandbox", "list").stdout


async def test_awaiting(stack: Stack) -> None:
    async with (
        AsyncStockade.connect(stack.run_dir) as stockade,
        stockade.sandbox("sdk-2", agent_type="test-generator") as sandbox,
    ):
        result: Result = await sandbox.run("python3", "-c", "print(6 * 7)")
        assert result.stdout == b"42\n"
        assert result.ending.ok
        with pytest.raises(StockadeError) as caught:
            await sandbox.run("no-such-program")
        assert caught.value.reason == "PROGRAM_NOT_STARTED"


async def test_the_sandbox_is_gone_when_its_user_fails(stack: Stack) -> None:
    async with AsyncStockade.connect(stack.run_dir) as stockade:
        with pytest.raises(ZeroDivisionError):
            async with stockade.sandbox("sdk-3", agent_type="test-generator") as sandbox:
                _ = 1 / 0
    assert sandbox.name not in stack.stockade("sandbox", "list").stdout


def test_errors_are_typed(stack: Stack, tmp_path: Path) -> None:
    with Stockade.connect(stack.run_dir) as stockade:
        with pytest.raises(InvalidRequest) as caught, stockade.sandbox("Not An Id"):
            pass
        assert caught.value.reason == "INVALID_REQUEST"
        assert caught.value.violations[0][0] == "agent"
    with Stockade.connect(tmp_path) as nobody, pytest.raises(Unreachable), nobody.sandbox("sdk-4"):
        pass
