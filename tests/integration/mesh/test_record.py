"""The record of three replicas: what was acknowledged is in it, one head covers it, and a log taken away is missed."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from stockade.audit.v1 import fleet_service_pb2, fleet_service_pb2_grpc
from stockade.audit.v1 import integrity_service_pb2 as integrity

from support import memory
from support.auditd import Auditd
from support.gate import needs_envoy
from support.mesh import Mesh, wait_for
from support.mesh_load import decide, load
from support.postgres import programs

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]
Reports = list[fleet_service_pb2.VerifyFleetResponse]


@pytest.fixture
def auditors(mesh: Mesh) -> Iterator[Auditd]:
    """A daemon on a machine of the auditors, which signs the fleet's head."""
    with tempfile.TemporaryDirectory(prefix="aud-", dir=memory.place()) as directory:
        settings = {"NODE": "auditors", "FLEET": mesh.stores.postgres_url("record")}
        daemon = Auditd(Path(directory), settings, prefix=mesh.auditors.inside()).start()
        yield daemon
        daemon.stop()


def verified(auditors: Auditd) -> Reports:
    stub = fleet_service_pb2_grpc.FleetServiceStub(auditors.channel("operators/ada"))
    return list(stub.VerifyFleet(fleet_service_pb2.VerifyFleetRequest()))


def intact(reports: Reports, mesh: Mesh) -> bool:
    """Whether every node's log of decisions is under the fleet's head, and nothing is wrong."""
    covered = {report.node for report in reports if report.journal.startswith("policy-") and report.size}
    return covered == set(mesh.nodes) and all(report.verdict == integrity.VERDICT_INTACT for report in reports)


def test_one_head_over_what_three_replicas_acknowledged(mesh: Mesh, auditors: Auditd) -> None:
    with load(mesh.target, [decide], 3) as made:
        made.wait(300, 60)
    assert made.failed() == []
    given = {str(call.result) for call in made.of(decide)}
    wait_for(lambda: not mesh.stores.missing(given), 30, "every entry is copied")
    wait_for(lambda: intact(verified(auditors), mesh), 30, "one head covers all")

    auditors.stop()
    auditors.settings["FLEET"] = copy_without(mesh, "b")
    auditors.start()
    wait_for(lambda: "b" in missed(verified(auditors)), 30, "the log that was taken is missed")


def copy_without(mesh: Mesh, node: str) -> str:
    """The URL of another database with the same record, but for one node's log and all that speaks of it."""
    postgres = mesh.stores.postgres
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE taken")
    dump = subprocess.run([programs() / "pg_dump", postgres.url("record")], check=True, capture_output=True)
    with psycopg.connect(postgres.url("taken")) as connection:
        subprocess.run(["psql", "-q", postgres.url("taken")], input=dump.stdout, check=True, stdout=subprocess.DEVNULL)
        for table in ("entries", "journals"):
            connection.execute(f"DELETE FROM stockade_audit.{table} WHERE node = %s", [node])  # type: ignore[arg-type]
        for table in ("heads", "witness_keys", "fleet_members"):
            query = f"DELETE FROM stockade_audit.{table} WHERE origin LIKE %s"
            connection.execute(query, [f"%/{node}"])  # type: ignore[arg-type]
    return mesh.stores.postgres_url("taken")


def missed(reports: Reports) -> set[str]:
    """The nodes whose log is not there."""
    return {report.node for report in reports if report.verdict == integrity.VERDICT_JOURNAL_MISSING}
