"""Whether the record of a mesh's nodes is whole: what the auditors' machine finds, which signs the fleet's head."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stockade.audit.v1 import fleet_service_pb2, fleet_service_pb2_grpc
from stockade.audit.v1 import integrity_service_pb2 as integrity

from support import memory
from support.auditd import Auditd
from support.mesh import Mesh

Reports = list[fleet_service_pb2.VerifyFleetResponse]


@contextmanager
def auditors_of(mesh: Mesh) -> Iterator[Auditd]:
    """A daemon on the auditors' machine, which signs the fleet's head while the block runs."""
    with tempfile.TemporaryDirectory(prefix="aud-", dir=memory.place()) as directory:
        settings = {"NODE": "auditors", "FLEET": mesh.stores.postgres_url("record")}
        daemon = Auditd(Path(directory), settings, prefix=mesh.auditors.inside()).start()
        try:
            yield daemon
        finally:
            daemon.stop()


def verified(auditors: Auditd) -> Reports:
    """What it finds of every log of every node."""
    stub = fleet_service_pb2_grpc.FleetServiceStub(auditors.channel("operators/ada"))
    return list(stub.VerifyFleet(fleet_service_pb2.VerifyFleetRequest()))


def intact(reports: Reports, mesh: Mesh) -> bool:
    """Whether every node's log of decisions is under the fleet's head, and nothing is wrong."""
    covered = {report.node for report in reports if report.journal.startswith("policy-") and report.size}
    return covered == set(mesh.nodes) and all(report.verdict == integrity.VERDICT_INTACT for report in reports)
