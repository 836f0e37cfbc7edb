"""`stockade cache` against the served cache."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import vector_pb2
from stockade_agent.offline_model import offline_model

from support.cache import ServedCache, bits, f32, key, vector

Stockade = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stockade(served: ServedCache) -> Stockade:
    """The command, as the operator whose socket the service listens on."""
    person = Path(served.root / "run/operators" / os.environ.get("USER", "root"))
    if not person.exists():
        person.symlink_to("ada")
    command = [sys.executable, "-m", "stockade_cli", "--run-dir", str(served.root / "run"), "cache"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, check=False)

    return run


def put(served: ServedCache, agent: str, *names: object, ttl: Duration | None = None) -> None:
    rows = vector_pb2.Rows(format=f32(4), vectors=b"".join(map(vector, names)))
    served.agent(agent).BatchPut(pb.BatchPutRequest(keys=b"".join(map(key, names)), rows=rows, ttl=ttl))


def test_stats(served: ServedCache, stockade: Stockade) -> None:
    put(served, "seen", 1, 2)
    told = stockade("stats")
    assert told.returncode == 0
    assert "backend" in told.stdout
    assert "agents/seen" in told.stdout
    assert json.loads(stockade("stats", "--json").stdout)["backend"] == "sqlite"


def test_keys(served: ServedCache, stockade: Stockade) -> None:
    put(served, "keyed", *range(5))
    listed = json.loads(stockade("keys", "--layer", "agents/keyed", "--limit", "3", "--json").stdout)
    assert [entry["key"] for entry in listed] == sorted(key(i).hex() for i in range(5))[:3]
    assert {(entry["dimensions"], entry["dtype"], entry["writer"]) for entry in listed} == {(4, "f32", "agent/keyed")}
    table = stockade("keys", "--layer", "agents/keyed").stdout
    assert all(key(i).hex() in table for i in range(5))


def test_prune_and_clear(served: ServedCache, stockade: Stockade) -> None:
    put(served, "emptied", 1, ttl=Duration(nanos=1))
    put(served, "emptied", 2, 3)
    assert "1 expired entries removed" in stockade("prune").stderr
    assert "2 entries removed" in stockade("clear", "--writer", "agent/emptied").stderr
    assert "0 entries removed" in stockade("clear", "--layer", "agents/emptied").stderr


def test_warm_fills_what_agents_then_find(served: ServedCache, stockade: Stockade, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def one():\n    return 1\n\n\ndef two():\n    return 2\n")
    warmed = json.loads(stockade("warm", str(tmp_path), "--layer", "types/warmed", "--json").stdout)
    assert warmed == {"texts": 2, "stored": 2}
    again = json.loads(stockade("warm", str(tmp_path), "--layer", "types/warmed", "--json").stdout)
    assert again == {"texts": 2, "stored": 0}
    asked = pb.HasRequest(keys=offline_model().key("def one():\n    return 1"))
    assert bits(served.agent("reader", "warmed").Has(asked).hits, 1) == [True]


@pytest.mark.parametrize(
    ("words", "code", "mend"),
    [
        (("clear",), 2, "say what to clear"),
        (("keys", "--layer", "everyone"), 2, "agents/<agent id>"),
        (("keys",), 2, "--layer"),
        (("warm", "/nowhere", "--layer", "types/x"), 2, "does not exist"),
    ],
)
def test_bad_input_is_one_line(stockade: Stockade, words: tuple[str, ...], code: int, mend: str) -> None:
    told = stockade(*words)
    assert (told.returncode, mend in told.stderr, len(told.stderr.splitlines())) == (code, True, 1)
