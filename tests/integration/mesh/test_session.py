"""The whole conformance session through a mesh: the client's sidecar, mutual TLS, a node's sidecar, its services."""

from pathlib import Path

import pytest

from conformance import report, session
from conformance.programs import GO, PYTHON, Program
from support.gate import needs_envoy
from support.mesh import Mesh

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "program",
    [pytest.param(PYTHON, id="python"), pytest.param(GO, id="go", marks=pytest.mark.long)],
)
def test_session(program: Program, mesh: Mesh, tmp_path: Path) -> None:
    if missing := program.missing():
        pytest.skip(f"no {missing} on this machine")
    program.make()
    outcome = session.over_sidecar(program, mesh.target, tmp_path)
    assert not report.failed([outcome]), report.table([outcome])
