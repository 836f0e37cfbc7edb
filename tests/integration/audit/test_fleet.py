"""The record of three replicas under one head, in a real PostgreSQL: what is taken away is missed, by name."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import entry_pb2, finding_service_pb2_grpc, fleet_service_pb2_grpc
from stockade.audit.v1 import finding_service_pb2 as findings
from stockade.audit.v1 import fleet_service_pb2 as fleet
from stockade.audit.v1 import integrity_service_pb2 as integrity
from stockade_audit.daemon.adapters.postgres_schema import SCHEMA

from support import memory
from support.audit_cli import stockade
from support.auditd import Auditd, eventually
from support.journals import SLOT, write
from support.postgres import PostgresServer

NODES = ("a", "b", "c")
SIZES = {"a": 30, "b": 50, "c": 70}
# What the tampering below touches, by the rows of the node b: it is stopped by then, so that they stand still.
TABLES = {
    "entries": "node = 'b'",
    "journals": "node = 'b'",
    "witness_keys": "origin LIKE '%/b'",
    "heads": "origin LIKE '%/b'",
    "fleet_members": "origin LIKE '%/b'",
    "fleet_heads": "sequence > 0",
}


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as url:
        SCHEMA.migrate(url)
        yield url


@pytest.fixture(scope="module")
def replicas(url: str) -> Iterator[dict[str, Auditd]]:
    """Three daemons, the first of which signs the fleet's head; each with a journal of so many entries."""
    with tempfile.TemporaryDirectory(prefix="flt-", dir=memory.place()) as directory:
        started = {}
        for node in NODES:
            signs = {"FLEET": url} if node == "a" else {}
            settings = {"NODE": node, "SHIP_TO": url, "WITNESS": url, **signs}
            (base := Path(directory) / node).mkdir()
            started[node] = Auditd(base, settings).start()
            write(started[node].journals, [SIZES[node]])
        yield started
        for daemon in started.values():
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.stop()


def service(daemon: Auditd) -> fleet_service_pb2_grpc.FleetServiceStub:
    return fleet_service_pb2_grpc.FleetServiceStub(daemon.channel("operators/ada"))


def reports(daemon: Auditd) -> list[fleet.VerifyFleetResponse]:
    return list(service(daemon).VerifyFleet(fleet.VerifyFleetRequest()))


def wrong(daemon: Auditd) -> dict[tuple[str, str], fleet.VerifyFleetResponse]:
    return {(r.node, r.journal): r for r in reports(daemon) if r.verdict != integrity.VERDICT_INTACT}


def counted(daemon: Auditd) -> dict[str, int]:
    """How many entries of each node's test journal one head of the fleet covers."""
    return {r.node: r.size for r in reports(daemon) if r.journal == SLOT}


LAST_HEAD = "(SELECT max(sequence) FROM stockade_audit.heads WHERE origin LIKE '%/b')"
OF_B = f"node = 'b' AND slot = '{SLOT}'"
TAMPERING = [
    (
        "a node removed, with everything that named it",
        "DELETE FROM stockade_audit.entries WHERE node = 'b'; DELETE FROM stockade_audit.journals WHERE node = 'b';"
        "DELETE FROM stockade_audit.heads WHERE origin LIKE '%/b';"
        "DELETE FROM stockade_audit.witness_keys WHERE origin LIKE '%/b';"
        "DELETE FROM stockade_audit.fleet_members WHERE origin LIKE '%/b'",
        [("", "", "HEADS_WRONG", "b"), ("b", "", "JOURNAL_MISSING", "the node was removed")],
    ),
    (
        "its entries removed",
        f"DELETE FROM stockade_audit.entries WHERE {OF_B}",
        [("b", SLOT, "TAIL_CUT", "50 entries that a head covers are not there")],
    ),
    (
        "its last entries removed, and the copy's count with them",
        f"DELETE FROM stockade_audit.entries WHERE {OF_B} AND position >= 40;"
        f"UPDATE stockade_audit.journals SET size = 40 WHERE {OF_B}",
        [("b", SLOT, "TAIL_CUT", "10 entries")],
    ),
    (
        "an entry removed from the middle",
        f"DELETE FROM stockade_audit.entries WHERE {OF_B} AND position = 17",
        [("b", SLOT, "COPY_WRONG", "entry 17 is not there")],
    ),
    (
        "a column changed",
        f"UPDATE stockade_audit.entries SET action = 'BLOCKED' WHERE {OF_B} AND position = 18",
        [("b", SLOT, "ENTRY_CHANGED", "columns")],
    ),
    (
        "an entry put in another's place",
        f"DELETE FROM stockade_audit.entries WHERE {OF_B} AND position = 19;"
        f"UPDATE stockade_audit.entries SET position = 19 WHERE {OF_B} AND position = 20;"
        "INSERT INTO stockade_audit.entries SELECT node, slot, 20, hash, leaf, time, id, service, action, agent_type,"
        f" domain, reason, rule, status, trace_id FROM stockade_audit.entries WHERE {OF_B} AND position = 19",
        [("b", SLOT, "ENTRY_CHANGED", "is not what was signed")],
    ),
    (
        "an old head of its put back",
        f"DELETE FROM stockade_audit.heads WHERE origin LIKE '%/b' AND sequence = {LAST_HEAD}",
        [("b", "", "HEADS_WRONG", "heads are counted")],
    ),
    (
        "an old head of the fleet put back",
        "DELETE FROM stockade_audit.fleet_heads WHERE sequence ="
        " (SELECT max(sequence) FROM stockade_audit.fleet_heads)",
        [("", "", "HEADS_WRONG", "an old one was put back")],
    ),
    (
        "the fleet's head made to count less of it",
        "UPDATE stockade_audit.fleet_members SET leaf = convert_to(regexp_replace(convert_from(leaf, 'UTF8'),"
        " ' [0-9]+ ', ' 1 '), 'UTF8') WHERE origin LIKE '%/b'",
        [("", "", "HEADS_WRONG", ": b")],
    ),
    (
        "a forged node",
        "INSERT INTO stockade_audit.entries SELECT 'forged', slot, position, hash, leaf, time, id, service, action,"
        f" agent_type, domain, reason, rule, status, trace_id FROM stockade_audit.entries WHERE {OF_B}",
        [("forged", "", "HEADS_WRONG", "no head of it")],
    ),
    (
        "a forged node with a head that another's key signed",
        "INSERT INTO stockade_audit.witness_keys SELECT 'stockade.dev/audit/heads/forged', key"
        " FROM stockade_audit.witness_keys WHERE origin LIKE '%/c';"
        "INSERT INTO stockade_audit.heads SELECT 'stockade.dev/audit/heads/forged', sequence, note"
        " FROM stockade_audit.heads WHERE origin LIKE '%/b'",
        [("forged", "", "HEADS_WRONG", "not signed by")],
    ),
]


def test_three_replicas_stand_under_one_head_and_what_is_taken_away_is_missed(
    replicas: dict[str, Auditd], url: str
) -> None:
    signer = replicas["a"]
    eventually(lambda: counted(signer) == SIZES, 30)
    assert wrong(signer) == {}
    assert stockade(signer, "audit", "verify", "--fleet").returncode == 0
    for node in "bc":
        replicas[node].stop()
    assert wrong(signer) == {}, "a node that was stopped a moment ago is no alarm"
    for name, edit, expected in TAMPERING:
        keep(url)
        with psycopg.connect(url) as connection:
            connection.execute(edit)  # type: ignore[arg-type]
        found = wrong(signer)
        put_back(url)
        assert found.keys() == {(node, journal) for node, journal, *_ in expected}, (name, found)
        for node, journal, verdict, detail in expected:
            report = found[node, journal]
            assert integrity.Verdict.Name(report.verdict) == f"VERDICT_{verdict}", (name, report)
            assert detail in report.detail, (name, report)
        assert wrong(signer) == {}, name
    assert [line.split()[:2] for line in fleet_lines(signer)] == [[node, "active"] for node in NODES]


def test_what_is_missed_is_a_finding_and_a_retired_node_is_recorded(replicas: dict[str, Auditd], url: str) -> None:
    """By itself, within seconds; b and c have been stopped."""
    signer = replicas["a"]
    eventually(lambda: counted(signer) == SIZES, 30)
    for node in "bc":
        if replicas[node].process.poll() is None:  # type: ignore[union-attr]
            replicas[node].stop()
    retired = stockade(signer, "audit", "retire", "b", "--reason", "its machine was sold", "--yes")
    assert "b is retired" in retired.stdout
    assert stockade(signer, "audit", "retire", "nobody", "--reason", "why not", "--yes").returncode != 0
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM stockade_audit.heads WHERE origin LIKE '%/c' AND sequence > 1")
    found = eventually(lambda: raised(signer), 30)
    assert [(finding.subject, "were taken away" in finding.summary) for finding in found] == [("c", True)]
    eventually(lambda: {"NODE_JOINED", "NODE_RETIRED"} <= reasons(signer), 30)
    assert {line.split()[0]: line.split()[1] for line in fleet_lines(signer)} == {
        "a": "active",
        "b": "retired",
        "c": "active",
    }


def raised(daemon: Auditd) -> "list[findings.Finding]":
    """Findings of a verification that failed, but for those that a verification raised."""
    stub = finding_service_pb2_grpc.FindingServiceStub(daemon.channel("operators/ada"))
    kind = findings.FINDING_KIND_VERIFICATION_FAILED
    found = stub.ListFindings(findings.ListFindingsRequest()).findings
    return [finding for finding in found if finding.kind == kind and finding.subject in NODES]


def reasons(daemon: Auditd) -> set[str]:
    """Of the entries that the signer wrote of calls and of itself."""
    request = audit.ListEntriesRequest(filter=entry_pb2.EntryFilter(actions=["ACTION_CALLED"]), page_size=1000)
    return {entry.reason for entry in daemon.entries().ListEntries(request).entries}


def fleet_lines(daemon: Auditd) -> list[str]:
    return stockade(daemon, "audit", "fleet").stdout.splitlines()[1:]


def keep(url: str) -> None:
    with psycopg.connect(url) as connection:
        for table, rows in TABLES.items():
            connection.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM stockade_audit.{table} WHERE {rows}")  # type: ignore[arg-type]


def put_back(url: str) -> None:
    with psycopg.connect(url) as connection:
        for table, rows in reversed(TABLES.items()):
            if table != "fleet_heads":  # the signer goes on where nothing is wrong with its own
                connection.execute(f"DELETE FROM stockade_audit.{table} WHERE {rows} OR {forged(rows)}")  # type: ignore[arg-type]
        for table in TABLES:
            connection.execute(f"INSERT INTO stockade_audit.{table} SELECT * FROM kept_{table} ON CONFLICT DO NOTHING")  # type: ignore[arg-type]
            connection.execute(f"DROP TABLE kept_{table}")  # type: ignore[arg-type]


def forged(rows: str) -> str:
    return rows.replace("'b'", "'forged'").replace("/b'", "/forged'")


def test_a_daemon_that_does_not_sign_the_fleets_head_says_who_does(auditd: Auditd) -> None:
    told = stockade(auditd, "audit", "verify", "--fleet")
    assert told.returncode != 0
    assert "STOCKADE_AUDIT_FLEET" in told.stderr
