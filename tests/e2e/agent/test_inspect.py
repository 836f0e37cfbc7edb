"""Inspect's own suite for sandbox providers, against ours; and an evaluation, from its entry point on."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import includes
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import SandboxEnvironmentSpec, sandbox
from inspect_ai.util._sandbox.self_check import *  # noqa: F403 as it wants to be used
from stockade_agent.frameworks.inspect import StockadeConfig, StockadeSandboxEnvironment

from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

NOT_HELD = {
    "test_exec_as_user": "a sandbox has one user, and nobody in it becomes root",
}
"""docs/sdk.md says why."""


@pytest.fixture(autouse=True)
def connected(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKADE_STACK_RUN_DIR", str(stack.run_dir))
    monkeypatch.setenv("INSPECT_DISPLAY", "none")


@pytest.fixture
async def sandbox_env(request: pytest.FixtureRequest, connected: None) -> AsyncIterator[StockadeSandboxEnvironment]:
    if reason := NOT_HELD.get(request.node.originalname):
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    made = await StockadeSandboxEnvironment.sample_init("t", StockadeConfig(agent="inspect-check"), {})
    yield made["default"].as_type(StockadeSandboxEnvironment)
    await StockadeSandboxEnvironment.sample_cleanup("t", None, made, interrupted=False)


@solver
def shell() -> Solver:
    """Answers with what a command in the sandbox wrote; the model is not asked."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        done = await sandbox().exec(["sh", "-c", "echo $((6 * 7)); id -un"])
        state.output = ModelOutput.from_content("shell", done.stdout)
        return state

    return solve


async def test_an_evaluation_runs_in_a_sandbox_and_leaves_none(stack: Stack, tmp_path: Any) -> None:
    spec = SandboxEnvironmentSpec("stockade", StockadeConfig(agent="inspect-eval", agent_type="test-generator"))
    task = Task(
        dataset=[Sample(input="What is 6 * 7?", target="42")],
        solver=shell(),
        scorer=includes(),
        sandbox=spec,
    )
    (log,) = await eval_async(task, model="mockllm/model", log_dir=str(tmp_path))
    assert log.status == "success", log.error
    assert log.samples is not None
    assert log.samples[0].output.completion.split() == ["42", "agent"]
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1
    assert _agents(stack, "inspect-eval") == []


async def test_cleanup_ends_what_a_killed_evaluation_left(stack: Stack) -> None:
    made = await StockadeSandboxEnvironment.sample_init("t", StockadeConfig(agent="inspect-left"), {})
    kept = stack.stockade("sandbox", "create", "--agent", "inspect-other")
    assert len(_agents(stack, "inspect-left")) == 1
    await StockadeSandboxEnvironment.cli_cleanup(None)
    assert _agents(stack, "inspect-left") == []
    assert len(_agents(stack, "inspect-other")) == 1, kept.stderr
    await StockadeSandboxEnvironment.cli_cleanup(_agents(stack, "inspect-other")[0])
    assert _agents(stack, "inspect-other") == []
    await StockadeSandboxEnvironment.sample_cleanup("t", None, made, interrupted=True)


def _agents(stack: Stack, agent: str) -> list[str]:
    listed = json.loads(stack.stockade("sandbox", "list", "--agent", agent, "--json").stdout)
    return [each["name"] for each in listed]
