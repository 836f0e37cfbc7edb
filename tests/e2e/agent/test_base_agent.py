"""BaseAgent on a real stack: tasks, requests, the fallback, and what the record has of them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from stockade_agent import AsyncStockade, BaseAgent, NetworkPolicyError, Refused, StockadeError, Unreachable
from stockade_agent.embeddings import CachedEmbedder
from stockade_agent.key import EmbeddingModel
from stockade_agent.unsandboxed import run_unsandboxed

from support.engine import EngineInUse
from support.journals import leaves
from support.sandbox_service import served_sandboxes
from support.stack import ALLOWED, REFUSED, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


@asynccontextmanager
async def an_agent(stack: Stack, name: str) -> AsyncIterator[BaseAgent]:
    async with (
        AsyncStockade.connect(stack.run_dir) as stockade,
        BaseAgent(stockade, name, agent_type="test-generator") as agent,
    ):
        yield agent


async def entries(stack: Stack, agent: str, action: str) -> list[dict[str, Any]]:
    """What the record has of an agent, once its index has anything."""
    for _ in range(50):
        listed = await asyncio.to_thread(
            stack.stockade, "audit", "list", "--agent", agent, "--action", action, "--json"
        )
        document = json.loads(listed.stdout)
        found: list[dict[str, Any]] = document["entries"] if isinstance(document, dict) else document
        if found:
            return found
        await asyncio.sleep(0.1)
    return []


def record_of(state_dir: Path, agent: str) -> list[dict[str, Any]]:
    """What the sandbox service's journal has of an agent's runs without a sandbox."""
    entries = leaves(state_dir / "audit/journals/sandbox-0")
    return [entry for entry in entries if entry.get("agent") == agent and "program" in entry.get("metadata", {})]


async def flood(agent: BaseAgent, client: httpx.AsyncClient) -> None:
    for _ in range(300):
        await agent.make_network_request(f"http://{ALLOWED}/", client=client)


async def test_a_task_runs_in_a_sandbox_of_its_own(stack: Stack) -> None:
    async with an_agent(stack, "base-1") as agent:
        done = await agent.execute_in_sandbox("sh", "-c", "cat; exit 3", stdin=b"told", fallback="unsandboxed")
    assert (done.tier, done.stdout, done.ending.exit_code, done.entry_id) == ("RUNC", b"told", 3, "")
    assert "base-1" not in stack.stockade("sandbox", "list").stdout


async def test_requests_are_decided_sent_and_recorded(stack: Stack) -> None:
    async with (
        an_agent(stack, "base-2") as agent,
        httpx.AsyncClient(proxy=f"http://{stack.origin.endpoint}") as client,
    ):
        answer = await agent.make_network_request(f"http://{ALLOWED}/", client=client)
        assert (answer.status_code, answer.content) == (200, b"ok\n")
        seen = stack.origin.connections
        with pytest.raises(NetworkPolicyError) as caught:
            await agent.make_network_request(f"http://{REFUSED}/", client=client)
        assert (caught.value.verdict, caught.value.rule) == ("BLOCKED", "block_unknown_domains")
        assert stack.origin.connections == seen
        assert "x-stockade-lease" not in "".join(stack.origin.heads)
    assert [entry["status"] for entry in await entries(stack, "base-2", "outcome")] == [200]
    assert [entry["domain"] for entry in await entries(stack, "base-2", "blocked")] == [REFUSED]


async def test_a_limit_says_when_to_try_again(stack: Stack) -> None:
    async with (
        an_agent(stack, "base-3") as agent,
        httpx.AsyncClient(proxy=f"http://{stack.origin.endpoint}") as client,
    ):
        with pytest.raises(NetworkPolicyError) as caught:
            await flood(agent, client)
    assert caught.value.verdict == "RATE_LIMITED"
    assert caught.value.retry_after_s
    assert caught.value.decision_id


@pytest.mark.parametrize("url", ["ftp://a.com/", "//a.com", "a.com", "http://"])
async def test_what_is_no_url_is_refused(stack: Stack, url: str) -> None:
    async with an_agent(stack, "base-4") as agent:
        with pytest.raises(ValueError, match="no http or https URL"):
            await agent.make_network_request(url)


async def test_only_an_agent_claims(stack: Stack) -> None:
    async with an_agent(stack, "base-5") as agent:
        with pytest.raises(Refused):
            await agent.audit("report.txt", reason="wrote it")
        with pytest.raises(ValueError, match="no embedder"):
            await agent.embed(["text"])


async def test_the_fallback_is_asked_for_warned_about_and_recorded(caplog: pytest.LogCaptureFixture) -> None:
    with served_sandboxes(EngineInUse("unix:///tmp/no-such-engine.sock")) as served:
        target = f"unix:{served.run_dir}/operators/ada/sandbox.sock"
        async with AsyncStockade(lambda _service: target) as stockade, BaseAgent(stockade, "base-6") as agent:
            with pytest.raises(Unreachable, match="engine"):
                await agent.execute_in_sandbox("true")
            with caplog.at_level(logging.WARNING, "stockade_agent"):
                done = await agent.execute_in_sandbox(
                    "sh", "-c", "echo $A; exit 4", env={"A": "b"}, fallback="unsandboxed"
                )
        before, after = record_of(served.state_dir, "base-6")
    assert (done.tier, done.stdout, done.ending.exit_code) == ("UNSANDBOXED", b"b\n", 4)
    assert "UNSANDBOXED" in caplog.text
    assert (before["id"], before["metadata"]["program"]) == (done.entry_id, "sh")
    assert after["metadata"]["exit_code"] == 4


async def test_without_a_record_nothing_runs_unsandboxed(tmp_path: Path) -> None:
    async with AsyncStockade.connect(tmp_path) as nobody, BaseAgent(nobody, "base-7") as agent:
        with pytest.raises(Unreachable):
            await agent.execute_in_sandbox("touch", str(tmp_path / "ran"), fallback="unsandboxed")
    assert not (tmp_path / "ran").exists()


async def test_an_unsandboxed_program_ends_in_time_and_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    late = await run_unsandboxed(("sh", "-c", "echo partial; sleep 60 & wait"), timeout=timedelta(seconds=0.5))
    assert (late.ending.reason, late.ending.exit_code, late.stdout) == ("TIMEOUT", None, b"partial\n")
    assert b"A_SECRET" not in (await run_unsandboxed(("env",))).stdout
    with pytest.raises(StockadeError) as caught:
        await run_unsandboxed(("no-such-program",))
    assert caught.value.reason == "PROGRAM_NOT_STARTED"


async def test_a_claim_is_on_the_record_as_one(stack: Stack) -> None:
    """A service may say what an agent claims; an agent in its sandbox says it the same way."""
    async with AsyncStockade(lambda service: f"unix:{stack.run_dir}/services/{service}.sock") as stockade:
        agent = BaseAgent(stockade, "base-8", agent_type="test-generator")
        entry_id = await agent.audit("report.txt", reason="wrote it", metadata={"lines": "3"})
    claims = await entries(stack, "base-8", "claim")
    assert [(claim["id"], claim["resource"], claim["reason"]) for claim in claims] == [
        (entry_id, "report.txt", "wrote it")
    ]


async def test_texts_are_embedded_once(stack: Stack) -> None:
    asked: list[str] = []

    def lengths(texts: Sequence[str]) -> list[list[float]]:
        asked.extend(texts)
        return [[float(len(text)), 1.0] for text in texts]

    with grpc.insecure_channel(f"unix:{stack.run_dir}/services/cache.sock") as channel:
        embedder = CachedEmbedder(channel, EmbeddingModel("test", "lengths", "1", 2), lengths, layer="agents/base-9")
        async with AsyncStockade.connect(stack.run_dir) as stockade:
            agent = BaseAgent(stockade, "base-9", embedder=embedder)
            vectors = [await agent.embed(["abc", "de"]) for _ in range(2)]
    assert [vector.tolist() for vector in vectors] == [[[3.0, 1.0], [2.0, 1.0]]] * 2
    assert sorted(asked) == ["abc", "de"]
