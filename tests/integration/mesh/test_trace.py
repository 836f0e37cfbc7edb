"""One trace through a mesh: client, two sidecars, services, gate and process, each under who called it."""

import secrets

import pytest
from stockade.sandbox.v1 import exec_service_pb2, exec_service_pb2_grpc, sandbox_service_pb2, sandbox_service_pb2_grpc

from support.gate import needs_envoy
from support.mesh import Mesh
from support.mesh_client import NODE, standard
from support.otlp import Span
from support.stack import ALLOWED

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]
SIDECAR = "stockade-sidecar"
CHAIN = ["the client", SIDECAR, SIDECAR, "stockade-sandbox", "stockade-sandbox", "stockade-sandbox", "stockade-gate"]
"""From the client's own span down to the gate's: out of the client's host, into the node's, RunCommand, its exec, the
process, and what that asked of the world."""
ASK = f"""
import os, urllib.request
request = urllib.request.Request("http://{ALLOWED}/", headers={{"traceparent": os.environ["TRACEPARENT"]}})
print(urllib.request.urlopen(request, timeout=10).status)
"""


def test_one_trace_joins_every_part(mesh: Mesh) -> None:
    trace, root = secrets.token_hex(16), secrets.token_hex(8)
    traced = (("traceparent", f"00-{trace}-{root}-01"),)
    with standard(mesh.target) as channel:
        sandboxes = sandbox_service_pb2_grpc.SandboxServiceStub(channel)
        request = sandbox_service_pb2.CreateSandboxRequest(agent="mesh-traced", agent_type="test-generator")
        made = sandboxes.CreateSandbox(request, metadata=traced).sandbox
        try:
            command = exec_service_pb2.Command(args=["python3", "-c", ASK])
            run = exec_service_pb2.RunCommandRequest(sandbox=made.name, command=command)
            metadata = (*traced, (NODE, made.node))
            done = exec_service_pb2_grpc.ExecServiceStub(channel).RunCommand(run, metadata=metadata)
        finally:
            mesh.delete([made])
    assert done.stdout == b"200\n", done.stderr

    spans = mesh.spans.wait(trace, lambda spans: judged(spans) and way_to_gate(spans, root) == CHAIN, 20)
    assert way_to_gate(spans, root) == CHAIN
    assert judged(spans)
    ids = {span.id for span in spans} | {root}
    assert [span.name for span in spans if span.parent not in ids] == []


def judged(spans: list[Span]) -> bool:
    """Whether the policy's judgement is there."""
    return any(span.service == "stockade-policy" and span.name == "policy.judge" for span in spans)


def way_to_gate(spans: list[Span], root: str) -> list[str]:
    """The services of the spans from the client's down to the gate's request."""
    by_id = {span.id: span for span in spans}
    span = next((span for span in spans if span.name == "gate.request"), None)
    way: list[str] = []
    while span is not None:
        way.append(span.service)
        if span.parent == root:
            way.append("the client")
        span = by_id.get(span.parent)
    return way[::-1]
