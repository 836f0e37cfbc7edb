"""What one of everything costs, in CPU time, calls and bytes: the figures that docs/capacity.md multiplies.

None is a rate by the wall clock, so that a busy machine gives the same ones as a quiet one.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import redis
from stockade.audit.v1 import fleet_service_pb2 as fleet
from stockade.audit.v1 import fleet_service_pb2_grpc
from stockade.audit.v1 import integrity_service_pb2 as integrity
from stockade_audit import Journal
from stockade_audit.daemon.adapters.fleet_postgres import PostgresFleet
from stockade_audit.daemon.adapters.ledger_sqlite import SqliteLedger
from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.daemon.fleet_keeper import FleetKeeper
from stockade_audit.fleet import ORIGIN as FLEET_ORIGIN
from stockade_audit.head import NO_HEAD, Head, JournalHead, origin_of
from stockade_audit.keys import SigningKey
from stockade_audit.tree import EMPTY_ROOT
from stockade_network_policy.adapters.limits_redis import RedisLimits
from stockade_network_policy.domain.policy import Limits
from stockade_sandbox.adapters.fleet_redis import RedisFleet
from stockade_sandbox.domain.node import Node
from stockade_sandbox.domain.ports import Claim
from stockade_sandbox.domain.sandbox import Limits as Sizes
from stockade_sandbox.domain.sandbox import Sandbox, State, Tier

from load.audit_bench import entry
from load.harness import Figure, run
from support.auditd import Auditd, eventually
from support.postgres import PostgresServer, postgres_server
from support.redis_server import RedisServer, redis_server

ENTRIES = 20_000
A_COMMIT = 50
TAKES, AGENTS = 10_000, 200
SANDBOXES, BEATS = 2000, 2000
OTHER_SLOTS = ("network-policy-0", "embedding-cache-0")  # with sandbox-0 and audit-0, those of a node
LIMITS = Limits(requests_per_minute=6000, requests_per_hour=100_000, burst_size=1000)
NODES, HEADS_BETWEEN = 200, 5
SEGMENT = 1 << 18  # so that what is filled ahead does not count
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


async def measure() -> list[Figure]:
    """The record's, then Redis's."""
    with tempfile.TemporaryDirectory(prefix="cap", dir="/var/tmp") as directory:
        record = await of_the_record(Path(directory))
        with redis_server(Path(directory)) as server:
            return [*record, *await of_limits(server), *await of_the_registry(server)]


async def of_the_record(base: Path) -> list[Figure]:
    """An entry's way: journal, index, copy; a head's; and both read again."""
    with postgres_server() as server, server.database() as url:
        SCHEMA.migrate(url)
        settings = {"NODE": "a", "SHIP_TO": url, "WITNESS": url, "FLEET": url}
        daemon = Auditd(base, settings).start()
        assert daemon.process is not None
        await asyncio.to_thread(daemon.until_indexed, "audit-0", 1)
        before = [cpu_s(daemon.process.pid), server_cpu_s(server), wal_bytes(url)]
        journal = await write(daemon.journals)
        await asyncio.to_thread(eventually, lambda: copied(url) >= ENTRIES, 120.0)
        after = [cpu_s(daemon.process.pid), server_cpu_s(server), wal_bytes(url)]
        daemon_s, postgres_s, wal = (late - early for early, late in zip(before, after, strict=True))
        index = sum(path.stat().st_size for path in (base / "state/audit/index").rglob("*") if path.is_file())
        figures = [
            Figure("journal_bytes_per_entry", journal / ENTRIES, "bytes", ""),
            Figure("index_bytes_per_entry", index / ENTRIES, "bytes", ""),
            Figure("postgres_bytes_per_entry", size_of(url, "entries") / ENTRIES, "bytes", ""),
            Figure("postgres_wal_bytes_per_entry", wal / ENTRIES, "bytes", ""),
            Figure("daemon_cpu_us_per_entry", daemon_s / ENTRIES * 1e6, "µs of CPU", ""),
            Figure("postgres_cpu_us_per_entry", postgres_s / ENTRIES * 1e6, "µs of CPU", ""),
            Figure("verify_fleet_cpu_us_per_entry", await verified(daemon) * 1e6, "µs of CPU", ""),
            Figure("postgres_bytes_per_head", head_bytes(url), "bytes", ""),
        ]
        daemon.stop()
        return [*figures, *of_the_fleets_head(server, base)]


async def write(journals: Path) -> int:
    """Append the entries, and say how many bytes they take."""
    journal = Journal.open(journals, service="sandbox", slot="sandbox-0", segment_bytes=SEGMENT)
    for first in range(0, ENTRIES, A_COMMIT):
        await journal.append_many([entry(number) for number in range(first, first + A_COMMIT)])
    journal.close()
    for slot in OTHER_SLOTS:
        other = Journal.open(journals, service=slot.removesuffix("-0"), slot=slot, segment_bytes=SEGMENT)
        await other.append(entry(0))
        other.close()
    return sum(path.stat().st_size for path in (journals / "sandbox-0").glob("*.seg"))


async def verified(daemon: Auditd) -> float:
    """Seconds of the daemon's CPU that an entry's verification in the copy takes."""
    assert daemon.process is not None
    stub = fleet_service_pb2_grpc.FleetServiceStub(daemon.channel("operators/ada"))

    def reports() -> list[fleet.VerifyFleetResponse]:
        return list(stub.VerifyFleet(fleet.VerifyFleetRequest()))

    await asyncio.to_thread(eventually, lambda: sum(r.size for r in reports() if r.journal) >= ENTRIES, 30.0)
    before = cpu_s(daemon.process.pid)
    found = await asyncio.to_thread(reports)
    assert all(report.verdict == integrity.VERDICT_INTACT for report in found)
    return (cpu_s(daemon.process.pid) - before) / sum(report.size for report in found if report.journal)


def of_the_fleets_head(server: PostgresServer, base: Path) -> list[Figure]:
    """What a node costs whoever signs over all, every five seconds in which it has signed as often itself."""
    with server.database() as url, closing(_keeper(url, base)) as keeper:
        SCHEMA.migrate(url)
        last = {number: signed_head(base, number, None) for number in range(NODES)}
        store(url, last.values())
        keeper.sign()
        for _ in range(HEADS_BETWEEN):
            last = {number: signed_head(base, number, head) for number, head in last.items()}
            store(url, last.values())
        before = [time.process_time(), server_cpu_s(server)]
        keeper.sign()
        after = [time.process_time(), server_cpu_s(server)]
        assert {member.sequence for member in keeper.ledger.members().values()} == {HEADS_BETWEEN + 1}
    signer, postgres = ((late - early) / NODES * 1e6 for early, late in zip(before, after, strict=True))
    return [
        Figure("fleet_signer_cpu_us_per_node", signer, "µs of CPU", ""),
        Figure("fleet_postgres_cpu_us_per_node", postgres, "µs of CPU", ""),
    ]


def _keeper(url: str, base: Path) -> FleetKeeper:
    key = SigningKey.load_or_create(base / "fleet.key", FLEET_ORIGIN)
    return FleetKeeper(PostgresFleet(url), SqliteLedger(base / "fleet.sqlite"), key)


def signed_head(base: Path, number: int, previous: Head | None) -> Head:
    """A node's next head, over four journals of which nothing is copied."""
    key = SigningKey.load_or_create(base / f"node-{number}.key", origin_of(f"node-{number}"))
    journals = {f"{name}-0": JournalHead(0, EMPTY_ROOT, str(key.verifier)) for name in "abcd"}
    sequence, before = (previous.sequence + 1, previous.hash) if previous else (1, NO_HEAD)
    return Head(sequence, time.time_ns(), before, journals).signed(key)


def store(url: str, heads: Iterable[Head]) -> None:
    """Put heads where the nodes' witnesses would."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for head in heads:
            cursor.execute(
                "INSERT INTO stockade_audit.witness_keys VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (head.origin, head.journals["a-0"].key),
            )
            cursor.execute(
                "INSERT INTO stockade_audit.heads (origin, sequence, note) VALUES (%s, %s, %s)",
                (head.origin, head.sequence, head.note),
            )


async def of_limits(server: RedisServer) -> list[Figure]:
    """A decision's count, and what an agent's counters take after an hour of asking."""
    limits = RedisLimits(server.url)
    await limits.take("warm", LIMITS)
    with spent(server) as seconds:
        for number in range(TAKES):
            await limits.take(f"agent-{number % AGENTS}", LIMITS)
    minutes = iter(range(61))
    turned = RedisLimits(server.url, clock_us=lambda: next(minutes) * 60_000_000)
    for _ in range(61):
        await turned.take("hour", LIMITS)
    with closing(redis.Redis.from_url(server.url)) as client:
        size = client.memory_usage("stockade:limits:{hour}")
    await limits.close()
    await turned.close()
    return [
        Figure("redis_cpu_us_per_decision", seconds[0] / TAKES * 1e6, "µs of CPU", ""),
        Figure("redis_bytes_per_agent", float(size or 0), "bytes", ""),
    ]


async def of_the_registry(server: RedisServer) -> list[Figure]:
    """A sandbox placed and told of, and a beat."""
    server.empty()
    registry = RedisFleet(server.url)
    node = Node(name="a", incarnation="1", place="a", host="a", capacity=Sizes(cpu=64.0))
    await registry.join(node, returning=False)
    before = used_memory(server)
    with spent(server) as placing:
        for number in range(SANDBOXES):
            sandbox = placed(number)
            await registry.claim(
                node, Claim(sandbox=sandbox, quota=SANDBOXES + 1, request_id=f"r-{number}", digest="d")
            )
            await registry.publish(node, [sandbox])
    memory = used_memory(server) - before
    with spent(server) as beating:
        for _ in range(BEATS):
            await registry.beat(node)
    await registry.close()
    return [
        Figure("redis_cpu_us_per_create", placing[0] / SANDBOXES * 1e6, "µs of CPU", ""),
        Figure("redis_cpu_us_per_beat", beating[0] / BEATS * 1e6, "µs of CPU", ""),
        Figure("redis_bytes_per_sandbox", memory / SANDBOXES, "bytes", ""),
    ]


def placed(number: int) -> Sandbox:
    """One as a node publishes it."""
    return Sandbox(
        name=f"sb-{number:012}",
        uid=0,
        state=State.RUNNING,
        image="stockade/agent:latest",
        limits=Sizes(cpu=1.0, memory=1 << 30, disk=1 << 30, pids=256),
        tier=Tier.RUNC,
        cpus=(),
        node="a",
        agent=f"qe-test-generator-{number}",
        agent_type="test-generator",
        owner="operator/ada",
        created_at=time.time(),
    )


@contextmanager
def spent(server: RedisServer) -> Iterator[list[float]]:
    """Seconds of CPU that the server has spent in the block, once it is over."""
    seconds = [0.0]
    before = redis_cpu_s(server)
    yield seconds
    seconds[0] = redis_cpu_s(server) - before


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, its ended children's among them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_S


def server_cpu_s(server: PostgresServer) -> float:
    """The same of a PostgreSQL and all that it has forked."""
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return sum(cpu_s(pid) for pid in (server.process.pid, *map(int, children)))


def redis_cpu_s(server: RedisServer) -> float:
    """What it says itself, which is finer than the kernel's ticks."""
    with closing(redis.Redis.from_url(server.url)) as client:
        told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def used_memory(server: RedisServer) -> int:
    with closing(redis.Redis.from_url(server.url)) as client:
        return int(client.info("memory")["used_memory"])


def one(url: str, query: str) -> int:
    with psycopg.connect(url) as connection:
        (found,) = connection.execute(query).fetchone() or (0,)  # type: ignore[arg-type]
    return int(found)


def copied(url: str) -> int:
    return one(url, "SELECT coalesce(max(size), 0) FROM stockade_audit.journals WHERE slot = 'sandbox-0'")


def size_of(url: str, table: str) -> int:
    return one(url, f"SELECT pg_total_relation_size('stockade_audit.{table}')")


def head_bytes(url: str) -> int:
    """Of the last head, which is over all journals: its row, without a page's share and the index's."""
    return one(url, "SELECT pg_column_size(h.*) FROM stockade_audit.heads h ORDER BY sequence DESC LIMIT 1")


def wal_bytes(url: str) -> int:
    return one(url, "SELECT pg_current_wal_insert_lsn() - '0/0'")


if __name__ == "__main__":
    run(measure)
