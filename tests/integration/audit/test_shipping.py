"""Journals shipped to a real PostgreSQL: every leaf, whichever side is started again, and no edit unnoticed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import entry_pb2, finding_service_pb2_grpc
from stockade.audit.v1 import finding_service_pb2 as findings
from stockade.audit.v1 import integrity_service_pb2 as integrity
from stockade_audit import Action, RecordUnavailable
from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.reader import Follower

from support.audit_cli import stockade
from support.auditd import Auditd, eventually
from support.journals import SLOT, entry, leaves, open_journal, write
from support.postgres import PostgresServer, postgres_server

COPIED = "SELECT count(*) FROM stockade_audit.entries WHERE slot = %s"


def migrated(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "stockade_audit.daemon", "migrate", *words],
        env={**os.environ, "STOCKADE_AUDIT_SHIP_TO": url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def shipping(base: Path, url: str) -> Iterator[Auditd]:
    daemon = Auditd(base, {"SHIP_TO": url, "NODE": "here"}).start()
    yield daemon
    if daemon.process is not None and daemon.process.poll() is None:
        daemon.stop()


def count(url: str, slot: str = SLOT) -> int:
    with psycopg.connect(url) as connection:
        (found,) = connection.execute(COPIED, (slot,)).fetchone() or (0,)
    return int(found)


def raised(auditd: Auditd, kind: str) -> "list[findings.Finding]":
    stub = finding_service_pb2_grpc.FindingServiceStub(auditd.channel("operators/ada"))
    found = stub.ListFindings(findings.ListFindingsRequest()).findings
    return [finding for finding in found if findings.FindingKind.Name(finding.kind) == f"FINDING_KIND_{kind}"]


def verdicts(auditd: Auditd) -> "dict[str, integrity.VerifyRecordResponse]":
    return {r.journal: r for r in auditd.integrity().VerifyRecord(integrity.VerifyRecordRequest())}


def test_every_leaf_arrives_as_it_was_written(shipping: Auditd, url: str) -> None:
    directory = write(shipping.journals, [70] * 9)
    eventually(lambda: count(url) == 630, 30)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT leaf, node, action, domain FROM stockade_audit.entries WHERE slot = %s ORDER BY position", (SLOT,)
        ).fetchall()
    assert [leaf for leaf, *_ in rows] == leaves_of(directory)
    assert {tuple(row[1:]) for row in rows} == {("here", "ALLOWED", "api.example")}
    status = shipping.integrity().GetRecordStatus(integrity.GetRecordStatusRequest())
    assert {j.journal: j.copied for j in status.journals}[SLOT] == 630
    assert [sink.problem for sink in status.sinks] == ["", ""]
    assert "copy" in stockade(shipping, "audit", "status").stdout


def leaves_of(directory: Path) -> list[bytes]:
    """Every leaf of a journal as it lies there."""
    follower, found = Follower(directory), []
    while located := follower.poll():
        found += [at.leaf for at in located]
    follower.close()
    return found


def test_it_goes_on_where_it_was_whichever_side_restarts(base: Path) -> None:
    with postgres_server() as server, server.database() as url:
        SCHEMA.migrate(url)
        daemon = Auditd(base, {"SHIP_TO": url}).start()
        write(daemon.journals, [50])
        eventually(lambda: count(url) == 50, 30)
        server.stop(signal.SIGQUIT)
        write(daemon.journals, [50])
        sinks = eventually(lambda: problems(daemon), 30)
        assert "PostgreSQL" in sinks["copy"]
        server.start()
        eventually(lambda: count(url) == 100, 30)
        daemon.stop(signal.SIGKILL)
        write(daemon.journals, [50])
        daemon.start()
        eventually(lambda: count(url) == 150, 30)
        assert all(report.verdict == integrity.VERDICT_INTACT for report in verdicts(daemon).values())
        daemon.stop()


def problems(daemon: Auditd) -> dict[str, str]:
    status = daemon.integrity().GetRecordStatus(integrity.GetRecordStatusRequest())
    return {sink.name: sink.problem for sink in status.sinks if sink.problem}


EDITS = [
    ("a row", "UPDATE stockade_audit.entries SET action = 'BLOCKED' WHERE slot = 'test-0' AND position = 17", 17),
    (
        "a leaf, its hash made anew",
        "UPDATE stockade_audit.entries SET leaf = 'x', hash = sha256('\\x00'::bytea || 'x'::bytea) "
        "WHERE slot = 'test-0' AND position = 18",
        18,
    ),
    ("a row gone", "DELETE FROM stockade_audit.entries WHERE slot = 'test-0' AND position = 19", 19),
    ("the last row gone", "DELETE FROM stockade_audit.entries WHERE slot = 'test-0' AND position = 49", 49),
    (
        "a row too many",
        "INSERT INTO stockade_audit.entries SELECT node, slot, 50, hash, leaf, time, id, service, action, agent_type, "
        "domain, reason, rule, status, trace_id FROM stockade_audit.entries WHERE slot = 'test-0' AND position = 3",
        50,
    ),
]


def test_an_edited_row_is_found(shipping: Auditd, url: str) -> None:
    """One daemon for all edits: each is made, found, and taken back."""
    write(shipping.journals, [50])
    eventually(lambda: count(url) == 50, 30)
    for name, edit, position in EDITS:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS TABLE stockade_audit.entries")
            assert connection.execute(edit).rowcount == 1, name  # type: ignore[arg-type]
        report = verdicts(shipping)[SLOT]
        assert (report.verdict, report.first_bad_position) == (integrity.VERDICT_COPY_WRONG, position), name
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM stockade_audit.entries")
            connection.execute("INSERT INTO stockade_audit.entries SELECT * FROM kept")
            connection.execute("DROP TABLE kept")
    assert stockade(shipping, "audit", "verify", SLOT).returncode == 0


def test_the_database_holds_a_leaf_to_its_hash(shipping: Auditd, url: str) -> None:
    write(shipping.journals, [1])
    eventually(lambda: count(url) == 1, 30)
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("UPDATE stockade_audit.entries SET leaf = 'x'")


def test_a_journal_that_is_another_than_was_copied_is_refused(base: Path, shipping: Auditd, url: str) -> None:
    write(shipping.journals, [30])
    eventually(lambda: count(url) == 30, 30)
    shipping.stop()
    with psycopg.connect(url) as connection:  # the same as a journal that was written anew: the copy's tree is another
        connection.execute(
            "UPDATE stockade_audit.journals SET edge = sha256(edge) || substr(edge, 33) WHERE slot = %s", (SLOT,)
        )
    shipping.start()
    write(shipping.journals, [5])
    (finding,) = eventually(lambda: raised(shipping, "VERIFICATION_FAILED"), 30)
    assert (finding.subject, "not those that were copied" in finding.summary) == (SLOT, True)
    assert count(url) == 30


def test_replicated_appends_wait_for_the_copy_and_are_refused_without_it(base: Path) -> None:
    with postgres_server() as server, server.database() as url:
        SCHEMA.migrate(url)
        daemon = Auditd(base, {"SHIP_TO": url}).start()
        asyncio.run(append_replicated(daemon, server, url))
        found = leaves(daemon.journals / SLOT)
        daemon.stop()
    assert [leaf["id"] for leaf in found if leaf["action"] == "ALLOWED"] == ["first", "late", "last"]
    assert [leaf["intent_id"] for leaf in found if leaf["action"] == "LATE"] == ["late"]
    assert sum(leaf["metadata"]["refused"] for leaf in found if leaf["action"] == "GAP") >= 1


async def append_replicated(daemon: Auditd, server: PostgresServer, url: str) -> None:
    journal = open_journal(daemon.journals, copied=copied_socket(daemon))

    async def until_taken(identity: str) -> None:
        for _ in range(300):
            try:
                await journal.append(entry(id=identity))
                return
            except RecordUnavailable:
                await asyncio.sleep(0.1)
        raise AssertionError("never taken")

    await until_taken("first")
    assert count(url) >= 1, "the copy has it before the append returns"
    server.pause()
    try:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(RecordUnavailable):
            await journal.append(entry(id="late"))
        assert loop.time() - begun < 2.0
        with pytest.raises(RecordUnavailable):
            await journal.append(entry(id="refused"))
        assert journal.unavailable
    finally:
        server.resume()
    await until_taken("last")
    assert count(url) >= 3
    for _ in range(100):
        if any(leaf["action"] == "GAP" for leaf in leaves(daemon.journals / SLOT)):
            break
        await asyncio.sleep(0.05)
    journal.close()


def copied_socket(daemon: Auditd) -> Path:
    return daemon.base / "run" / "services" / "copied.sock"


def test_a_service_of_ack_replicated_refuses_while_the_copy_is_away(base: Path) -> None:
    """The daemon's own journal, by its setting: nothing is decided that would be lost with this machine."""
    daemon = Auditd(base, {"SHIP_TO": f"postgresql:///nowhere?host={base}", "RECORD_ACK": "replicated"}).start()
    stub = daemon.entries("services")
    request = audit.AppendEntryRequest(entry=entry_pb2.Entry(action=f"ACTION_{Action.CALLED}"))
    with pytest.raises(Exception, match=r"RECORD_UNAVAILABLE|cannot be written"):
        stub.AppendEntry(request)
    daemon.stop()


def test_tables_go_forward_and_back(postgres: PostgresServer) -> None:
    with postgres.database() as url:
        assert migrated(url).stdout == "version 0 -> 3\n"
        assert SCHEMA.migrate(url) == (3, 3)
        assert SCHEMA.migrate(url, 1) == (3, 1)
        assert migrated(url, "--to", "0").stdout == "version 1 -> 0\n"
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'stockade_audit'").fetchall()
        assert rows == []


def test_a_daemon_waits_for_the_tables_and_says_so(base: Path, postgres: PostgresServer) -> None:
    with postgres.database() as url:
        daemon = Auditd(base, {"SHIP_TO": url}).start()
        write(daemon.journals, [3])
        told = eventually(lambda: problems(daemon), 20)
        assert "run `stockade-auditd migrate`" in told["copy"]
        SCHEMA.migrate(url)
        eventually(lambda: count(url) == 3, 30)
        daemon.stop()


def test_a_password_comes_from_a_file_and_shows_nowhere(base: Path, postgres: PostgresServer) -> None:
    secret = "hunter2-4711"
    with postgres.database() as url:
        SCHEMA.migrate(url)
        with psycopg.connect(url) as connection:
            connection.execute("DROP ROLE IF EXISTS guarded")
            connection.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{secret}'")
            connection.execute("GRANT USAGE ON SCHEMA stockade_audit TO guarded")
            connection.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA stockade_audit TO guarded")
            connection.execute("GRANT UPDATE ON stockade_audit.journals TO guarded")
        passfile = base / "pgpass"
        passfile.write_text(f"*:*:*:guarded:{secret}\n")
        passfile.chmod(0o600)
        guarded = f"{url.replace('user=' + postgres.user, 'user=guarded')}&passfile={passfile}"
        daemon = Auditd(base, {"SHIP_TO": guarded}).start()
        write(daemon.journals, [5])
        eventually(lambda: count(url) == 5, 30)
        assert daemon.process is not None
        shown = [Path(f"/proc/{daemon.process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        shown += [path.read_bytes() for path in (base / "state").rglob("*") if path.is_file()]
        daemon.stop()
        shown.append((base / "log").read_bytes())
        assert not any(secret.encode() in data for data in shown)
    refused = migrated(f"postgresql://guarded:{secret}@/test?host={base}")
    assert refused.returncode == 2
    assert "passfile" in refused.stderr
    assert secret not in refused.stderr
