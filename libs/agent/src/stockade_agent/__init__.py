"""Stockade's Python SDK.

    from stockade_agent import Stockade

    with Stockade.connect() as stockade, stockade.sandbox("writer-1", agent_type="test-generator") as sandbox:
        result = sandbox.run("python3", "-c", "print(6 * 7)")
        print(result.stdout, result.ending.exit_code)

`AsyncStockade` and `AsyncSandbox` are the same with `await`. Names are imported when they are used, so that importing
this package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stockade_agent.addresses import Tls as Tls
    from stockade_agent.agent_flags import AgentFlags as AgentFlags
    from stockade_agent.base_agent import BaseAgent as BaseAgent
    from stockade_agent.base_agent import TaskResult as TaskResult
    from stockade_agent.client import AsyncStockade as AsyncStockade
    from stockade_agent.client import Stockade as Stockade
    from stockade_agent.decider import LocalDecider as LocalDecider
    from stockade_agent.decider import LocalDecision as LocalDecision
    from stockade_agent.embeddings import CachedEmbedder as CachedEmbedder
    from stockade_agent.errors import DeadlineExceeded as DeadlineExceeded
    from stockade_agent.errors import Exhausted as Exhausted
    from stockade_agent.errors import InvalidRequest as InvalidRequest
    from stockade_agent.errors import NetworkPolicyError as NetworkPolicyError
    from stockade_agent.errors import NotFound as NotFound
    from stockade_agent.errors import NotServed as NotServed
    from stockade_agent.errors import Refused as Refused
    from stockade_agent.errors import StockadeError as StockadeError
    from stockade_agent.errors import Unreachable as Unreachable
    from stockade_agent.errors import Untrusted as Untrusted
    from stockade_agent.files import FileInfo as FileInfo
    from stockade_agent.flag_provider import FileProvider as FileProvider
    from stockade_agent.flags import Walls as Walls
    from stockade_agent.key import EmbeddingModel as EmbeddingModel
    from stockade_agent.messages import MessageLimiter as MessageLimiter
    from stockade_agent.messages import Permit as Permit
    from stockade_agent.processes import AsyncProcess as AsyncProcess
    from stockade_agent.processes import Process as Process
    from stockade_agent.sandbox import AsyncSandbox as AsyncSandbox
    from stockade_agent.sandbox import Ending as Ending
    from stockade_agent.sandbox import Result as Result
    from stockade_agent.sandbox import Sandbox as Sandbox

_MODULES = {
    "addresses": ("Tls",),
    "agent_flags": ("AgentFlags",),
    "base_agent": ("BaseAgent", "TaskResult"),
    "client": ("AsyncStockade", "Stockade"),
    "decider": ("LocalDecider", "LocalDecision"),
    "embeddings": ("CachedEmbedder",),
    "errors": (
        "DeadlineExceeded",
        "Exhausted",
        "InvalidRequest",
        "NetworkPolicyError",
        "NotFound",
        "NotServed",
        "Refused",
        "StockadeError",
        "Unreachable",
        "Untrusted",
    ),
    "files": ("FileInfo",),
    "flag_provider": ("FileProvider",),
    "flags": ("Walls",),
    "key": ("EmbeddingModel",),
    "messages": ("MessageLimiter", "Permit"),
    "processes": ("AsyncProcess", "Process"),
    "sandbox": ("AsyncSandbox", "Ending", "Result", "Sandbox"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
