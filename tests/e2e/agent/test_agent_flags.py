"""What flags do to an agent: walls go up around it, and `stockade flags` says why."""

import asyncio
import json
from pathlib import Path

import grpc
import httpx
import pytest
from stockade.networkpolicy.v1 import policy_pb2, policy_service_pb2, policy_service_pb2_grpc
from stockade_agent import (
    AgentFlags,
    AsyncStockade,
    BaseAgent,
    FileProvider,
    NetworkPolicyError,
    Refused,
    Unreachable,
    Walls,
)
from stockade_agent.embeddings import CachedEmbedder
from stockade_agent.key import EmbeddingModel

from support.stack import REFUSED, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


async def test_sandbox_required_leaves_no_fallback(tmp_path: Path) -> None:
    async with AsyncStockade.connect(tmp_path) as nobody:
        agent = BaseAgent(nobody, "flags-1", walls=Walls(sandbox_required=True))
        with pytest.raises(Unreachable):
            await agent.execute_in_sandbox("touch", str(tmp_path / "ran"), fallback="unsandboxed")
    assert not (tmp_path / "ran").exists()


async def test_policy_enforced_refuses_what_is_only_reported(stack: Stack) -> None:
    limits = policy_pb2.Limits(requests_per_minute=60, requests_per_hour=1000, burst_size=10)
    policy = policy_pb2.Policy(
        agent_type="flagged", allowed_domains=["a.com"], limits=limits, mode=policy_pb2.POLICY_MODE_REPORT
    )
    async with (
        AsyncStockade.connect(stack.run_dir) as stockade,
        httpx.AsyncClient(proxy=f"http://{stack.origin.endpoint}") as client,
    ):
        policies = stockade.stub(policy_service_pb2_grpc.PolicyServiceStub, "policy")
        await policies.CreatePolicy(policy_service_pb2.CreatePolicyRequest(policy=policy))
        async with BaseAgent(stockade, "flags-2", agent_type="flagged") as reported:
            assert (await reported.make_network_request(f"http://{REFUSED}/", client=client)).status_code == 200
        enforced = BaseAgent(stockade, "flags-2", agent_type="flagged", walls=Walls(policy_enforced=True))
        async with enforced:
            with pytest.raises(NetworkPolicyError) as caught:
                await enforced.make_network_request(f"http://{REFUSED}/", client=client)
        await policies.DeletePolicy(policy_service_pb2.DeletePolicyRequest(agent_type="flagged"))
    assert caught.value.verdict == "BLOCKED"


async def test_audit_required_begins_nothing_without_a_claim(stack: Stack) -> None:
    async with AsyncStockade.connect(stack.run_dir) as stockade:  # as an operator, who cannot claim
        agent = BaseAgent(stockade, "flags-3", walls=Walls(audit_required=True))
        with pytest.raises(Refused):
            await agent.execute_in_sandbox("true")
    created = stack.stockade("audit", "list", "--agent", "flags-3", "--action", "sandbox_created", "--json")
    assert (created.returncode, "flags-3" in created.stdout) == (0, False)


async def test_a_change_of_flags_is_on_the_record(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    file.write_text('{"flags": {}}')
    listing = ("audit", "list", "--agent", "flags-5", "--action", "claim", "--json")
    async with AsyncStockade(lambda service: f"unix:{stack.run_dir}/services/{service}.sock") as stockade:
        with AgentFlags("flags-5", "writer", FileProvider(file, poll_seconds=0.05)) as flags:
            async with BaseAgent(stockade, "flags-5", agent_type="writer", flags=flags) as agent:
                assert agent.walls == Walls()
                file.write_text('{"flags": {"cache-off": {"writer": 100}}}')
                told = ""
                for _ in range(50):
                    told = (await asyncio.to_thread(stack.stockade, *listing)).stdout
                    if "flags changed" in told:
                        break
                assert agent.walls == Walls(cache_off=True)
    assert '"cache_off": "True"' in told


async def test_cache_off_shares_nothing() -> None:
    asked: list[str] = []

    def ones(texts: list[str]) -> list[list[float]]:
        asked.extend(texts)
        return [[1.0] for _ in texts]

    with grpc.insecure_channel("unix:/nonexistent/cache.sock") as nobody:
        embedder = CachedEmbedder(nobody, EmbeddingModel("test", "ones", "1", 1), ones)  # type: ignore[arg-type]
        async with AsyncStockade(lambda _service: "unix:/nonexistent") as stockade:
            agent = BaseAgent(stockade, "flags-4", embedder=embedder, walls=Walls(cache_off=True))
            assert (await agent.embed(["a", "a"])).tolist() == [[1.0], [1.0]]
    assert (asked, embedder.counts.near) == (["a"], 0)


def test_the_command_says_why(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    file.write_text('{"flags": {"sandbox-required": {"writer": 100}, "cache-off": {"default": 0}}}')
    listed = stack.stockade("flags", "list", "--file", str(file))
    assert "sandbox-required  writer   100 %" in listed.stdout
    told = stack.stockade("flags", "explain", "a-1", "--agent-type", "writer", "--json", STOCKADE_FLAGS_FILE=str(file))
    assert {each["flag"]: each["on"] for each in json.loads(told.stdout)} == {
        "sandbox-required": True,
        "policy-enforced": False,
        "cache-off": False,
        "audit-required": False,
    }
    assert (
        "of writer" in stack.stockade("flags", "explain", "a-1", "--agent-type", "writer", "--file", str(file)).stdout
    )
    file.write_text("{")
    wrong = stack.stockade("flags", "list", "--file", str(file))
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (1, 1)
    assert "no JSON" in wrong.stderr
