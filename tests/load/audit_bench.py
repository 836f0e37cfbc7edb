"""The audit record's figures: appends in the library and over gRPC, index lag, verification, queries while it grows."""

import asyncio
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import audit_service_pb2_grpc, entry_pb2
from stockade_audit import Action, Entry, Journal, RecordUnavailable
from stockade_audit.verification import verify_record

from load.harness import Figure, run
from support.auditd import Auditd

MILLION = 1_000_000


async def measure() -> list[Figure]:
    """All figures, one after another."""
    with tempfile.TemporaryDirectory(prefix="ab", dir="/var/tmp") as directory:
        base = Path(directory)
        library = [
            Figure(
                "append_per_s",
                await appends(base / "a", 512),
                "1/s",
                "≥ 100000",
                {"one_commit_each": await single(base)},
            ),
            Figure("append_64_per_s", await appends(base / "b", 64), "1/s", ""),
            Figure("append_p50_us", await alone(base / "c"), "us", ""),
        ]
        with daemon(base / "d") as auditd:
            grpc_figures = over_grpc(auditd)
        with daemon(base / "e") as auditd:
            lag = await index_lag(auditd)
        return [*library, *grpc_figures, lag, *await a_million(base / "f")]


def entry(number: int) -> Entry:
    """A decision with the fields of a real one."""
    return Entry(
        action=Action.ALLOWED if number % 5 else Action.BLOCKED,
        principal_kind="agent",
        principal=f"qe-test-generator-{number % 50}",
        agent=f"qe-test-generator-{number % 50}",
        agent_type=f"type-{number % 20}",
        sandbox="sb-abcdefghijkl",
        domain=f"host-{number % 30}.example",
        rule="allowed_domains[2]",
        policy_version=7,
        method="GET",
        path="/repos/a/b/contents",
        status=200,
        bytes_received=5120,
        duration_us=1234,
        trace_id=f"{number:032x}",
        span_id="00f067aa0ba902b7",
    )


async def appends(root: Path, size: int, seconds: float = 4.0) -> float:
    """Entries a second, `size` a commit, two commits under way so that the disk never waits for the loop."""
    journal = Journal.open(root, service="bench", slot="bench-0")
    batches = [[entry(n) for n in range(size)] for _ in range(int(seconds * 200_000 / size))]
    begun, done = time.perf_counter(), 0
    under_way: list[asyncio.Task[int]] = []
    for batch in batches:
        under_way.append(asyncio.ensure_future(acknowledged(journal, batch)))
        if len(under_way) == 2:
            done += await under_way.pop(0)
        if time.perf_counter() - begun > seconds:
            break
    taken = time.perf_counter() - begun
    await asyncio.gather(*under_way)
    journal.close()
    return done / taken


async def acknowledged(journal: Journal, batch: list[Entry]) -> int:
    """How many entries of the batch were made durable: all, or none on a machine too busy to do it in time."""
    try:
        await journal.append_many(batch)
    except RecordUnavailable:
        await asyncio.sleep(0.05)
        return 0
    return len(batch)


async def single(base: Path) -> float:
    """Entries a second when each is a commit of its own."""
    journal = Journal.open(base / "single", service="bench", slot="bench-0")
    begun = time.perf_counter()
    done = sum([await acknowledged(journal, [entry(n)]) for n in range(2000)])
    journal.close()
    return done / (time.perf_counter() - begun)


async def alone(root: Path) -> float:
    """The median of one append with nobody else about, in µs."""
    journal = Journal.open(root, service="bench", slot="bench-0")
    taken = []
    for n in range(2000):
        begun = time.perf_counter()
        await acknowledged(journal, [entry(n)])
        taken.append(time.perf_counter() - begun)
    journal.close()
    return sorted(taken)[1000] * 1e6


@contextmanager
def daemon(base: Path) -> Iterator[Auditd]:
    """A daemon; its sockets' paths are short because `base` is."""
    base.mkdir(parents=True, exist_ok=True)
    auditd = Auditd(base).start()
    try:
        yield auditd
    finally:
        auditd.stop()


def over_grpc(auditd: Auditd) -> list[Figure]:
    """Appends through the daemon, by h2load, which costs less than any client in Python."""
    messages = [entry_pb2.Entry(action=entry_pb2.ACTION_CALLED, agent=f"a-{n}", resource="r" * 40) for n in range(512)]
    socket = auditd.base / "run" / "services" / "audit.sock"
    unary = audit.AppendEntryRequest(entry=messages[0])
    each = h2load(socket, "AppendEntry", unary, 20_000, clients=16)
    with echo(auditd.base / "echo.sock") as bare:
        comparison = {"bare_grpc_aio_per_s": h2load(bare, "AppendEntry", unary, 20_000, clients=16)}
    batch = h2load(socket, "BatchAppendEntries", audit.BatchAppendEntriesRequest(entries=messages), 400, clients=4)
    return [
        Figure("append_batch_grpc_per_s", batch * 512, "1/s", "≥ 40000"),
        Figure("append_unary_per_s", each, "1/s", "≥ 3000", comparison),
    ]


@contextmanager
def echo(socket: Path) -> Iterator[Path]:
    """A server that answers at once and does nothing: what gRPC in Python makes of the same calls."""
    command = [sys.executable, Path(__file__).with_name("audit_echo.py"), socket]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield socket
        process.terminate()


def h2load(socket: Path, method: str, request: audit.AppendEntryRequest, count: int, clients: int) -> float:
    """Calls a second that ended well."""
    body = request.SerializeToString()
    file = socket.with_suffix(".body")
    file.write_bytes(struct.pack(">BI", 0, len(body)) + body)
    headers = [x for h in ("content-type: application/grpc", "te: trailers") for x in ("-H", h)]
    command = ["h2load", "-n", str(count), "-c", str(clients), "-m", "4", "-d", str(file), *headers]
    target = f"http://localhost/stockade.audit.v1.AuditService/{method}"
    done = subprocess.run(
        [*command, f"--base-uri=unix:{socket}", target], capture_output=True, text=True, check=True
    ).stdout
    assert f"{count} succeeded" in done, done
    found = re.search(r"([\d.]+) req/s", done)
    assert found
    return float(found[1])


async def index_lag(auditd: Auditd, rate: int = 10_000, seconds: int = 8) -> Figure:
    """How long after its append an entry is in an answer, the 99th percentile, while `rate` a second arrive."""
    channel = grpc.aio.insecure_channel(f"unix:{auditd.base}/run/operators/ada/audit.sock")
    stub = audit_service_pb2_grpc.AuditServiceStub(channel)
    lags: list[float] = []

    async def watch() -> None:
        wanted = entry_pb2.EntryFilter(services=["bench"])
        async for answer in stub.TailEntries(audit.TailEntriesRequest(filter=wanted)):
            now = time.time()
            lags.extend(now - e.time.seconds - e.time.nanos / 1e9 for e in answer.entries)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0.5)
    journal = Journal.open(auditd.journals, service="bench", slot="bench-0")
    await feed(journal, rate, seconds)
    await asyncio.sleep(2)
    watching.cancel()
    journal.close()
    await channel.close()
    return Figure("index_lag_p99_ms", sorted(lags)[int(len(lags) * 0.99)] * 1000, "ms", "≤ 1000")


async def feed(journal: Journal, rate: int, seconds: float) -> None:
    """Append at a steady rate."""
    begun, number = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        if (due := int(passed * rate) - number) > 0:
            number += await acknowledged(journal, [entry(number + n) for n in range(min(due, 1000))])
        else:
            await asyncio.sleep(0.005)


async def a_million(base: Path) -> list[Figure]:
    """Verification, the last hour's list, and stats of a million entries, while 5,000 a second arrive."""
    root = base / "state" / "audit" / "journals"
    journal = Journal.open(root, service="bench", slot="bench-0")
    for start in range(0, MILLION, 1000):
        while not await acknowledged(journal, [entry(start + n) for n in range(1000)]):
            pass
    journal.close()
    begun = time.perf_counter()
    journal = Journal.open(root, service="bench", slot="bench-0")
    recovery = time.perf_counter() - begun
    begun = time.perf_counter()
    reports = list(verify_record(root, [], lambda _: None))
    verification = time.perf_counter() - begun
    assert [report.verdict for report in reports] == ["INTACT"]
    with daemon(base) as auditd:
        await asyncio.to_thread(wait_indexed, auditd, MILLION)
        feeding = asyncio.ensure_future(feed(journal, 5000, 60))
        await asyncio.sleep(1)
        listed, counted = await asyncio.to_thread(queries, auditd)
        feeding.cancel()
    journal.close()
    return [
        Figure("verify_1m_s", verification, "s", "≤ 3"),
        Figure("recovery_1m_s", recovery, "s", "≤ 1"),
        Figure("list_1h_of_1m_p95_ms", listed, "ms", "≤ 50"),
        Figure("stats_1m_ms", counted, "ms", "≤ 100"),
    ]


def wait_indexed(auditd: Auditd, size: int) -> None:
    """Until so many entries are indexed; a daemon that is too busy to record the question is asked again."""
    stub = auditd.entries()
    while True:
        with suppress(grpc.RpcError):
            if any(state.size >= size for state in stub.GetStats(audit.GetStatsRequest()).indexed_through):
                return
        time.sleep(0.5)


def queries(auditd: Auditd) -> tuple[float, float]:
    """The 95th percentile of listing the last hour by one filter or another, and the median of stats; in ms."""
    stub = auditd.entries()
    since = Timestamp(seconds=int(time.time()) - 3600)
    filters = [
        entry_pb2.EntryFilter(start_time=since),
        entry_pb2.EntryFilter(start_time=since, agents=["qe-test-generator-7"]),
        entry_pb2.EntryFilter(start_time=since, actions=[entry_pb2.ACTION_BLOCKED]),
        entry_pb2.EntryFilter(start_time=since, domains=["host-3.example"], agent_types=["type-13"]),
        entry_pb2.EntryFilter(start_time=since, trace_id=f"{4711:032x}"),
    ]
    requests = [audit.ListEntriesRequest(filter=wanted) for wanted in filters for _ in range(20)]
    listed = [timed(stub.ListEntries, request) for request in requests]
    by_domain = audit.GetStatsRequest(start_time=since, group_by=[audit.STATS_DIMENSION_DOMAIN])
    counted = [timed(stub.GetStats, by_domain) for _ in range(11)]
    return sorted(listed)[int(len(listed) * 0.95)], sorted(counted)[5]


def timed(call: Callable[[Any], Any], request: Any) -> float:
    """How long a call takes, in ms."""
    begun = time.perf_counter()
    call(request)
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    run(measure)
