"""Three replicas that share nothing but PostgreSQL have the same policies, and keep them while it is away."""

import asyncio
import re
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import psycopg
import pytest
from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import limit_service_pb2 as limits_pb
from stockade.networkpolicy.v1 import policy_pb2 as policies
from stockade.networkpolicy.v1 import policy_service_pb2 as policy_pb
from stockade_network_policy.adapters.messages_postgres import PostgresMessageLimits
from stockade_network_policy.adapters.postgres import SCHEMA, listen, open_database
from stockade_network_policy.domain.permits import MessageLimit
from stockade_network_policy.follower import Bell

from support import memory
from support.policy_service import Caller, PolicyService, eventually, failure, refusal
from support.postgres import PostgresServer, postgres_server

EVERY_VERSION = "SELECT agent_type, version, change, changed_by FROM stockade_policy.versions"
Replicas = list[PolicyService]


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """A server of this module's own: it is stopped and frozen."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def url(database: PostgresServer) -> Iterator[str]:
    with database.database() as url:
        SCHEMA.migrate(url)
        yield url


@contextmanager
def replicas(url: str, count: int, **settings: str) -> Iterator[Replicas]:
    """Replicas with a state of their own each, started at the same time."""
    with tempfile.TemporaryDirectory(prefix="sp-", dir=memory.place()) as directory:
        services = [PolicyService(Path(directory) / str(n), store=url, **settings) for n in range(count)]
        try:
            with ThreadPoolExecutor(count) as threads:
                list(threads.map(PolicyService.start, services))
            yield services
        finally:
            for service in services:
                if hasattr(service, "process"):
                    service.stop(signal.SIGTERM if service.process.poll() is None else 0)


@pytest.fixture(scope="module")
def three(url: str) -> Iterator[Replicas]:
    with replicas(url, 3) as services:
        yield services


def rows(url: str, agent_type: str = "") -> list[tuple[object, ...]]:
    where = f" WHERE agent_type = '{agent_type}'" if agent_type else ""
    with psycopg.connect(url) as connection:
        return connection.execute(f"{EVERY_VERSION}{where} ORDER BY revision").fetchall()  # type: ignore[arg-type]


def create(service: PolicyService, agent_type: str, *domains: str, request_id: str = "") -> policies.Policy:
    limits = policies.Limits(requests_per_minute=60, requests_per_hour=1000, burst_size=50)
    policy = policies.Policy(agent_type=agent_type, allowed_domains=domains, limits=limits)
    return service.operator.policies.CreatePolicy(
        policy_pb.CreatePolicyRequest(policy=policy, request_id=request_id)
    ).policy


def add(service: PolicyService, agent_type: str, domain: str) -> policies.Policy:
    request = policy_pb.AddDomainsRequest(agent_type=agent_type, domains=[domain])
    return service.operator.policies.AddDomains(request).policy


def allowed(agent: Caller, host: str) -> bool:
    request = pb.CheckRequestRequest(request=pb.RequestToCheck(host=host))
    return agent.decisions.CheckRequest(request).decision.verdict == pb.VERDICT_ALLOW


def test_three_that_start_at_once_seed_once(three: Replicas, url: str) -> None:
    seeded = [row for row in rows(url) if row[3] == "seed"]
    assert len(seeded) > 10
    assert {(version, change) for _, version, change, _ in seeded} == {(1, "CREATED")}
    assert len({agent_type for agent_type, *_ in seeded}) == len(seeded)


def test_a_change_through_any_is_in_force_at_all_within_a_second(three: Replicas, url: str) -> None:
    create(three[0], "spread", "a.com")
    for writer, domain in zip(three, ("b.com", "c.com", "d.com"), strict=True):
        eventually(lambda at=writer: "spread" in known(at), 1.0)  # type: ignore[misc]
        add(writer, "spread", domain)
        for reader in three:
            eventually(lambda at=reader, name=domain: allowed(at.agent("s1", "spread"), name), 1.0)  # type: ignore[misc]
    assert [row[1:] for row in rows(url, "spread")] == [
        (1, "CREATED", "operator:ana"), (2, "UPDATED", "operator:ana"),
        (3, "UPDATED", "operator:ana"), (4, "UPDATED", "operator:ana"),
    ]  # fmt: skip
    listed = three[2].operator.policies.ListPolicyVersions(policy_pb.ListPolicyVersionsRequest(agent_type="spread"))
    assert {version.policy.changed_by for version in listed.versions} == {"operator:ana"}


def known(service: PolicyService) -> set[str]:
    listed = service.operator.policies.ListPolicies(policy_pb.ListPoliciesRequest(page_size=1000))
    return {policy.agent_type for policy in listed.policies}


def test_edits_from_many_hands_through_all_are_all_there(three: Replicas) -> None:
    create(three[0], "handed", "a.com")
    domains = [f"{number}.com" for number in range(12)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda n: add(three[n % 3], "handed", domains[n]), range(12)))
    request = policy_pb.ListDomainsRequest(agent_type="handed")
    eventually(lambda: len(three[0].operator.policies.ListDomains(request).domains) == 13, 1.0)


def test_of_two_edits_of_one_etag_one_is_made(three: Replicas) -> None:
    etag = create(three[0], "raced", "a.com").etag

    def edit(number: int) -> str:
        request = policy_pb.AddDomainsRequest(agent_type="raced", etag=etag, domains=[f"{number}.com"])
        try:
            three[number % 3].operator.policies.AddDomains(request)
        except grpc.RpcError as error:
            return failure(error)[1]
        return "made"

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(edit, range(6))) == ["ETAG_MISMATCH"] * 5 + ["made"]


def test_a_request_that_is_repeated_at_another_replica_is_one(three: Replicas, url: str) -> None:
    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(lambda service: create(service, "twice", "a.com", request_id="r-1"), three))
    assert {policy.version for policy in made} == {1}
    assert len(rows(url, "twice")) == 1


def test_a_limit_of_messages_holds_at_all(three: Replicas) -> None:
    limit = limits_pb.MessageLimit(message_type="note", messages_per_minute=1, burst=7)
    three[1].operator.limits.SetMessageLimit(limits_pb.SetMessageLimitRequest(limit=limit))
    for service in three:
        stub = service.operator.limits
        listed = lambda stub=stub: list(stub.ListMessageLimits(limits_pb.ListMessageLimitsRequest()).limits)  # noqa: E731
        eventually(lambda listed=listed: limit in listed(), 1.0)  # type: ignore[misc]


def test_edits_stand_over_the_file_of_whoever_starts_again(three: Replicas, url: str) -> None:
    seeded = next(str(row[0]) for row in rows(url) if row[3] == "seed" and row[0] != "default")
    add(three[2], seeded, "mine.example.com")
    three[0].stop()
    three[0].start()
    assert [row[3] for row in rows(url, seeded)] == ["seed", "operator:ana"]
    assert allowed(three[0].agent("s1", seeded), "mine.example.com")


async def test_who_waits_is_woken_and_does_not_only_look(url: str) -> None:
    bell = Bell()
    listening = asyncio.create_task(listen(url, bell))
    await bell.wait(10)  # it listens
    limits = PostgresMessageLimits(open_database(url))
    started = time.monotonic()
    waiting = asyncio.create_task(bell.wait(30))
    await asyncio.to_thread(limits.put, MessageLimit(message_type="wake", messages_per_minute=1, burst=1))
    await waiting
    assert time.monotonic() - started < 20
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
    limits.close()


def age(service: PolicyService) -> float:
    """The metric that says how old the policies may be."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(service.run_dir / "operators/ana/policy.metrics.sock"))
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    found = re.search(r"^stockade_policies_age_seconds (\S+)$", answer, re.MULTILINE)
    assert found
    return float(found[1])


OUTAGES: dict[str, tuple[Callable[[PostgresServer], object], Callable[[PostgresServer], object]]] = {
    "stopped": (PostgresServer.stop, PostgresServer.start),
    "crashed": (lambda server: server.stop(signal.SIGQUIT), PostgresServer.start),
    "frozen": (PostgresServer.pause, PostgresServer.resume),
}


@pytest.mark.parametrize("outage", ["stopped", "frozen", pytest.param("crashed", marks=pytest.mark.long)])
def test_what_is_known_holds_while_the_database_is_away(
    three: Replicas, database: PostgresServer, url: str, outage: str
) -> None:
    goes, comes = OUTAGES[outage]
    agent_type = f"kept-{outage}"
    create(three[0], agent_type, "a.com")
    for service in three:
        eventually(lambda at=service: agent_type in known(at), 1.0)  # type: ignore[misc]
    goes(database)
    try:
        for service in three:
            assert allowed(service.agent("k1", agent_type), "a.com")
            assert not allowed(service.agent("k1", agent_type), "b.com")
        refused = time.monotonic()
        with pytest.raises(grpc.RpcError) as error:
            add(three[0], agent_type, "b.com")
        assert failure(error.value)[:2] == ("UNAVAILABLE", "POLICIES_UNAVAILABLE")
        assert time.monotonic() - refused < 10
        for service in three:
            eventually(lambda at=service: not at.health("policies"), 8.0)  # type: ignore[misc]
        assert three[0].health("")
        assert three[0].health("limits")
        assert age(three[0]) > 3
        assert allowed(three[1].agent("k1", agent_type), "a.com")
    finally:
        comes(database)
    recovered = max(eventually(lambda at=service: at.health("policies"), 4.0) for service in three)  # type: ignore[misc]
    print(f"{outage}: all follow again {recovered:.2f} s after")
    assert [row[1] for row in rows(url, agent_type)] == [1]
    assert list(add(three[0], agent_type, "b.com").allowed_domains) == ["a.com", "b.com"]
    eventually(lambda: allowed(three[2].agent("k1", agent_type), "b.com"), 1.0)


def read_only(server: PostgresServer, setting: str) -> None:
    """As a primary that has become a standby, or is one no more."""
    with psycopg.connect(
        f"{server.url()}&options=-c%20default_transaction_read_only%3Doff", autocommit=True
    ) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")  # type: ignore[arg-type]
        connection.execute("SELECT pg_reload_conf()")


def test_a_database_that_turns_read_only_changes_nothing_and_is_read(
    three: Replicas, database: PostgresServer, url: str
) -> None:
    create(three[0], "standby", "a.com")
    read_only(database, "on")
    try:
        with pytest.raises(grpc.RpcError) as error:
            add(three[0], "standby", "b.com")
        assert failure(error.value)[:2] == ("UNAVAILABLE", "POLICIES_UNAVAILABLE")
        assert "name the primary" in str(error.value.details())
        assert allowed(three[1].agent("s1", "standby"), "a.com")
        assert three[1].health("policies")
    finally:
        read_only(database, "off")
    assert [row[1] for row in rows(url, "standby")] == [1]
    eventually(lambda: three[0].health("policies"), 4.0)
    assert add(three[0], "standby", "b.com").version == 2


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sp-", dir=memory.place()) as name:
        yield Path(name)


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        (lambda url, _: "sqlite:///policies", "write postgresql://role@host/database"),
        (lambda url, _: url.replace("postgresql://", "postgresql://ana:s3cret@h/"), "put it into a file"),
        (lambda url, _: url.replace("host=", "host=/nowhere"), "PostgreSQL: "),
        (lambda url, _: re.sub("/test[0-9]+", "/missing", url), "create the database"),
        (lambda url, place: guarded(url, place, "wr0ng"), "?passfile="),
        (lambda url, place: readonly(url), "name the primary"),
        (lambda url, place: migrated(url, 1), "run `stockade-network-policy migrate`"),
        (lambda url, place: newer(url), "of a newer program"),
    ],
    ids=["no URL", "a password in the URL", "nobody there", "no database", "wrong password", "read-only", "old", "new"],
)
def test_a_database_that_cannot_serve_is_refused_in_one_line(
    database: PostgresServer, place: Path, change: Callable[[str, Path], str], mend: str
) -> None:
    with database.database() as url:
        SCHEMA.migrate(url)
        line = refusal(PolicyService(place, store=change(url, place)))
        assert line.startswith("stockade: STOCKADE_POLICY_STORE")
        assert mend in line
        assert "s3cret" not in line
        assert "wr0ng" not in line
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM stockade_policy.versions").fetchone() == (0,)


def guarded(url: str, place: Path, password: str) -> str:
    """The URL of a role that has another password than its file says."""
    with psycopg.connect(url) as connection:
        connection.execute("DROP ROLE IF EXISTS guarded")
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    file = place / "pgpass"
    file.write_text(f"*:*:*:guarded:{password}\n")
    file.chmod(0o600)
    return f"{re.sub('user=[a-z]+', 'user=guarded', url)}&passfile={file}"


def readonly(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # type: ignore[arg-type]
    return url


def migrated(url: str, to: int) -> str:
    SCHEMA.migrate(url, to)
    return url


def newer(url: str) -> str:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE stockade_policy.version SET number = %s", (SCHEMA.newest + 2,))
    return url


def test_a_role_needs_no_more_than_is_documented(database: PostgresServer, place: Path) -> None:
    with database.database() as url:
        SCHEMA.migrate(url)
        given = guarded(url, place, "right")
        with psycopg.connect(url) as connection:
            connection.execute("GRANT USAGE ON SCHEMA stockade_policy TO guarded")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA stockade_policy TO guarded")
            connection.execute("GRANT INSERT ON stockade_policy.versions, stockade_policy.message_limits TO guarded")
            connection.execute("GRANT UPDATE ON stockade_policy.message_limits TO guarded")
        with replicas(given, 1) as (service,):
            assert create(service, "granted", "a.com").version == 1
            limit = limits_pb.MessageLimit(message_type="note", messages_per_minute=1, burst=7)
            for _ in range(2):
                service.operator.limits.SetMessageLimit(limits_pb.SetMessageLimitRequest(limit=limit))
        with psycopg.connect(url) as connection:
            connection.execute("DROP OWNED BY guarded")
            connection.execute("DROP ROLE guarded")
