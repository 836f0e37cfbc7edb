"""Importing the SDK costs nothing until it is used."""

import subprocess
import sys

import pytest
import stockade_agent


@pytest.mark.parametrize("name", ["Stockade", "BaseAgent", "NetworkPolicyError", "Walls"])
def test_what_is_heavy_is_imported_when_it_is_used(name: str) -> None:
    heavy = {"grpc", "httpx", "numpy", "openfeature", "requests"}
    code = f"import stockade_agent, sys; stockade_agent.{name}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_exported() -> None:
    assert dir(stockade_agent) == [
        "AgentFlags",
        "AsyncProcess",
        "AsyncSandbox",
        "AsyncStockade",
        "BaseAgent",
        "CachedEmbedder",
        "DeadlineExceeded",
        "EmbeddingModel",
        "Ending",
        "Exhausted",
        "FileInfo",
        "FileProvider",
        "InvalidRequest",
        "LocalDecider",
        "LocalDecision",
        "MessageLimiter",
        "NetworkPolicyError",
        "NotFound",
        "NotServed",
        "Permit",
        "Process",
        "Refused",
        "Result",
        "Sandbox",
        "Stockade",
        "StockadeError",
        "TaskResult",
        "Tls",
        "Unreachable",
        "Untrusted",
        "Walls",
    ]
    for name in dir(stockade_agent):
        assert getattr(stockade_agent, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sandbx'"):
        _ = stockade_agent.Sandbx
