"""Metrics of a real stack: they say what the record says, every one is documented, and not everybody reads them."""

import json
import os
import re
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as rpc
from stockade.embeddingcache.v1 import vector_pb2

from support.cache import f32, key, vector
from support.stack import ALLOWED, REFUSED, ROOT, STOCKADE, Stack

AGENT, LAYER = "metered", "agents/metered"
ASK = f"""
import urllib.error, urllib.request
for host in ("{ALLOWED}",) * 3 + ("{REFUSED}",) * 2:
    try:
        urllib.request.urlopen(f"http://{{host}}/", timeout=10)
    except urllib.error.HTTPError:
        pass
"""
CACHE = "stockade.embeddingcache.v1.EmbeddingCacheService"
Numbers = Counter[str]


def numbers(text: str) -> Numbers:
    """Samples by `name{label=value,…}`, labels in order."""
    found: Numbers = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value  # type: ignore[assignment]  # a float will do
    return found


def measured(stack: Stack) -> Numbers:
    told = stack.stockade("metrics")
    assert told.returncode == 0, told.stderr
    return numbers(told.stdout)


def calls(method: str, code: str = "OK") -> str:
    labels = f"rpc_method={method},rpc_response_status_code={code},service=cache"
    return f"rpc_server_call_duration_seconds_count{{{labels}}}"


@contextmanager
def cache(stack: Stack) -> Iterator[rpc.EmbeddingCacheServiceStub]:
    person = next((stack.run_dir / "operators").iterdir())
    with grpc.insecure_channel(f"unix:{person}/cache.sock") as channel:
        yield rpc.EmbeddingCacheServiceStub(channel)  # type: ignore[no-untyped-call]


def read(stack: Stack) -> None:
    """Two rows stored, seven read in two calls of which four are hits, one call refused."""
    with cache(stack) as stub:
        rows = vector_pb2.Rows(format=f32(4), vectors=vector(0) + vector(1))
        stub.BatchPut(pb.BatchPutRequest(layer=LAYER, keys=key(0) + key(1), rows=rows))
        for names in ((0, 1, "a"), (0, 1, "b", "c")):
            stub.BatchGet(pb.BatchGetRequest(layer=LAYER, keys=b"".join(map(key, names)), format=f32(4)))
        with pytest.raises(grpc.RpcError):
            stub.BatchGet(pb.BatchGetRequest(keys=key(0), format=f32(4)))


def folded(stack: Stack, method: str) -> int:
    """Calls of a method in the record's folded entries."""
    listed = stack.stockade("audit", "list", "--service", "cache", "--action", "folded", "--json", "--limit", "1000")
    entries = json.loads(listed.stdout)
    entries = entries["entries"] if isinstance(entries, dict) else entries
    return sum(int(entry["metadata"]["count"]) for entry in entries if entry["method"] == method)


def test_metrics_say_what_the_record_says(stack: Stack) -> None:
    before, recorded = measured(stack), folded(stack, f"{CACHE}/BatchGet")
    with stack.policy("test-generator", ALLOWED), stack.sandbox(AGENT) as name:
        running = measured(stack)
        assert stack.stockade("sandbox", "exec", name, "--", "python3", "-c", ASK).returncode == 0
        read(stack)
        time.sleep(1.5)  # folded entries are written each second
        after = measured(stack)
    new = Counter({sample: after[sample] - before[sample] for sample in after})

    actions = Counter(entry["action"] for entry in stack.entries(AGENT) if entry.get("domain"))
    assert (actions["ALLOWED"], actions["BLOCKED"]) == (3, 2)
    assert new["stockade_decisions_total{service=policy,verdict=allow}"] == 3
    assert new["stockade_decisions_total{service=policy,verdict=deny}"] == 2

    assert new[calls(f"{CACHE}/BatchGet")] == 2
    assert new[calls(f"{CACHE}/BatchGet", "INVALID_ARGUMENT")] == 1
    assert folded(stack, f"{CACHE}/BatchGet") - recorded == 3
    rows = [new[f"stockade_cache_rows_total{{service=cache,tier={tier}}}"] for tier in ("memory", "sqlite", "none")]
    assert rows == [4, 0, 3]
    assert new["stockade_cache_entries_total{fate=stored,service=cache}"] == 2

    assert running["stockade_sandboxes{service=sandbox,state=running}"] == 1
    assert running["stockade_doors{service=policy}"] == 1
    assert new["stockade_journal_wait_seconds_count{service=policy}"] >= 5
    assert [after[f"stockade_up{{service={service}}}"] for service in ("audit", "policy", "cache", "sandbox")] == [
        1
    ] * 4


def test_no_metric_names_anybody(stack: Stack) -> None:
    told = stack.stockade("metrics").stdout
    assert AGENT not in told
    assert REFUSED not in told
    assert not re.search(r"sb-[a-z2-7]{12}", told)


def exposed(stack: Stack) -> set[str]:
    """Names as they are documented: without a histogram's suffixes."""
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(stack.stockade("metrics").stdout)
    }


def test_every_metric_is_documented(stack: Stack) -> None:
    assert set(re.findall(r"^\| `([a-z_]+)`", (ROOT / "docs/telemetry.md").read_text(), re.MULTILINE)) == exposed(stack)


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/grafana").glob("*.json")), ids=lambda path: path.name)
def test_dashboards_ask_for_metrics_that_exist(stack: Stack, path: Path) -> None:
    queries = [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"\b(?:stockade|rpc|process)_[a-z_]+", query)}
    labels = {"rpc_method", "rpc_response_status_code"}
    assert queries
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in named - labels} <= exposed(stack)


@contextmanager
def listening(stack: Stack, token: Path) -> Iterator[str]:
    """`stockade metrics --listen` on a free port; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [STOCKADE, "metrics", "--listen", address, "--token-file", token]
    process = subprocess.Popen(command, env=os.environ | stack.environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert address in process.stderr.readline()
        yield address
    finally:
        process.terminate()
        process.wait(10)


def scrape(address: str, path: str, token: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://{address}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_prometheus_reads_with_the_token_and_nobody_else(stack: Stack, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with listening(stack, token) as address:
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        status, text = scrape(address, "/metrics", token.read_text())
        assert (status, "stockade_decisions_total" in text) == (200, True)
        assert scrape(address, "/metrics", "guessed")[0] == 401
        assert scrape(address, "/", token.read_text())[0] == 404


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (("--listen", "127.0.0.1:9464"), "--token-file"),
        (("--listen", "0.0.0.0:9464", "--token-file", "t"), "loopback"),
        (("--listen", "nonsense", "--token-file", "t"), "127.0.0.1:9464"),
    ],
)
def test_bad_input_is_one_line(stack: Stack, words: tuple[str, ...], mend: str) -> None:
    done = stack.stockade("metrics", *words)
    assert done.returncode == 2
    assert mend in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_agent_reaches_them(stack: Stack) -> None:
    assert list((stack.run_dir / "gate").glob("*metrics*")) == []
    with stack.sandbox("nosy") as name:
        seen = stack.stockade("sandbox", "exec", name, "--", "ls", "/run/stockade").stdout.split()
    assert sorted(seen) == ["api.sock", "control.sock", "egress.sock"]
