"""What survives: restarts, SIGKILL under writes, flipped bytes; and what is found in no store: the text."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import vector_pb2
from stockade_agent.embeddings import CachedEmbedder
from stockade_agent.key import EmbeddingModel

from support.cache import ServedCache, agent_headers, bits, f32, key, served_cache, start_cache, vector
from support.otlp import receiver

WIDE, BATCH = 256, 64


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sc-") as directory:
        yield Path(directory)


def database(root: Path) -> Path:
    return root / "state/cache/vectors.sqlite"


def put(served: ServedCache, names: range) -> None:
    rows = vector_pb2.Rows(format=f32(WIDE), vectors=b"".join(vector(i, WIDE) for i in names))
    served.agent("a").BatchPut(pb.BatchPutRequest(keys=b"".join(map(key, names)), rows=rows))


def check(served: ServedCache, names: range) -> int:
    """How many of `names` are there; fails when one of them is not its own."""
    found = 0
    for start in range(names.start, names.stop, 500):
        part = range(start, min(start + 500, names.stop))
        request = pb.BatchGetRequest(keys=b"".join(map(key, part)), format=f32(WIDE))
        got = served.agent("a").BatchGet(request)
        hits = [name for name, bit in zip(part, bits(got.hits, len(part)), strict=True) if bit]
        assert got.vectors == b"".join(vector(name, WIDE) for name in hits)
        found += len(hits)
    return found


def test_a_restart_keeps_everything(root: Path) -> None:
    with served_cache(root) as served:
        put(served, range(200))
    with served_cache(root) as served:
        assert check(served, range(200)) == 200


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_sigkill_under_writes_loses_nothing_that_was_acknowledged(root: Path, kills: int) -> None:
    acknowledged, choose = 0, random.Random(kills)
    for _ in range(kills):
        served = start_cache(root)
        latest = range(max(0, acknowledged - 2000), acknowledged)
        assert check(served, latest) == len(latest)
        killer = threading.Timer(choose.uniform(0.05, 0.3), served.process.kill)
        killer.start()
        try:
            while True:
                put(served, range(acknowledged, acknowledged + BATCH))
                acknowledged += BATCH
        except grpc.RpcError:
            killer.join()
        served.process.wait()
        served.close()
    with sqlite3.connect(database(root)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with served_cache(root) as served:
        assert check(served, range(acknowledged)) == acknowledged > 0


def test_a_flipped_byte_is_a_miss_and_counted(root: Path) -> None:
    with served_cache(root) as served:
        put(served, range(100))
    data = bytearray(database(root).read_bytes())
    at = data.index(vector(42, WIDE)[100:200])
    data[at + 7] ^= 1
    database(root).write_bytes(data)
    with served_cache(root) as served:
        assert check(served, range(100)) == 99
        assert served.operator().GetStats(pb.GetStatsRequest()).damaged == 1
        put(served, range(42, 43))
        assert check(served, range(100)) == 100


def test_bytes_flipped_anywhere_never_serve_a_wrong_vector(root: Path) -> None:
    choose = random.Random(11)
    with served_cache(root) as served:
        put(served, range(100))
    whole = database(root).read_bytes()
    for _ in range(5):
        data = bytearray(whole)
        for _ in range(200):
            data[choose.randrange(8192, len(data))] ^= 1 << choose.randrange(8)
        database(root).write_bytes(data)
        try:
            with served_cache(root) as served:
                assert check(served, range(100)) < 100
        except AssertionError as error:
            assert "move it away" in str(error)  # noqa: PT017 not even its tables can be read


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_on_a_full_disk_memory_serves_and_nothing_is_lost(root: Path) -> None:
    directory = database(root).parent
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "stockade-test", directory], check=True)
    try:
        with served_cache(root) as served:
            for start in range(0, 4000, 500):
                put(served, range(start, start + 500))
            assert check(served, range(4000)) == 4000
            assert served.operator().GetStats(pb.GetStatsRequest()).degraded
            assert served.log.count("backend lost") == 1
            assert "Traceback" not in served.log
            subprocess.run(["mount", "-o", "remount,size=64m", directory], check=True)
            time.sleep(0.3)
            put(served, range(4000, 4100))
            assert not served.operator().GetStats(pb.GetStatsRequest()).degraded
        with served_cache(root) as served:
            assert check(served, range(4000, 4100)) == 100
            assert check(served, range(4000)) < 4000  # what was in memory alone
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_cache_is_named_with_its_mend(root: Path, content: bytes) -> None:
    database(root).parent.mkdir(parents=True)
    database(root).write_bytes(content)
    with pytest.raises(AssertionError, match="move it away, the cache starts empty") as failed:
        start_cache(root)
    assert "Traceback" not in str(failed.value)
    assert database(root).read_bytes() == content


def test_a_second_process_on_one_file_is_refused(root: Path) -> None:
    with served_cache(root) as served:
        other = {"STOCKADE_CACHE_STATE_DIR": str(root / "state"), "STOCKADE_CACHE_RUN_DIR": str(root / "run2")}
        (root / "run2/services").mkdir(parents=True)
        started = subprocess.run(
            [sys.executable, "-m", "stockade_embedding_cache"],
            env=os.environ | other | {"STOCKADE_CACHE_SLOT": "1"},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert (started.returncode, "in use by another" in started.stderr) == (2, True)
        put(served, range(10))


@pytest.mark.parametrize(
    ("variable", "value", "mend"),
    [
        ("BACKEND", "postgres", "choose one of memory, sqlite, redis"),
        ("EVICTION", "fifo", "choose one of sieve, lru"),
        ("MEMORY_BYTES", "much", "not a valid"),
        ("NOPE", "1", "is not a setting"),
    ],
)
def test_settings_nobody_can_serve(root: Path, variable: str, value: str, mend: str) -> None:
    with pytest.raises(AssertionError, match=mend) as failed:
        start_cache(root, {variable: value})
    assert "Traceback" not in str(failed.value)


def test_a_text_is_found_in_no_store_log_span_or_record(root: Path) -> None:
    canary = "canary-5f1d8a"
    (root / "run/services").mkdir(parents=True)
    with receiver(root / "run/services/audit.sock") as spans, served_cache(root, log_level="DEBUG") as served:
        served.agent("a")
        embed = CachedEmbedder(
            served.channels[-1],
            EmbeddingModel("local", "toy", "1", 4),
            lambda texts: [[1.0, 2.0, 3.0, 4.0]] * len(texts),
            metadata=agent_headers("a"),
        )
        embed([f"a text with a {canary} in it"])
        assert served.operator().GetSize(pb.GetSizeRequest(layer="agents/a")).size.entries == 1
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(15)
        assert {"LeaseCompute", "CompleteCompute"} <= {span.name.rpartition("/")[2] for span in spans.spans}
        assert [sent for sent in spans.raw if canary.encode() in sent] == []
    written = [path for path in root.rglob("*") if path.is_file()]
    assert any(path.name == "vectors.sqlite" for path in written)
    assert any("journals" in path.parts for path in written)
    assert [path for path in written if canary.encode() in path.read_bytes()] == []
