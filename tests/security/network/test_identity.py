"""Nobody is somebody else: not by a header, not by a connection, not at the door to the services."""

import pytest

from security.network.conftest import Sandbox
from support.gate import needs_envoy

pytestmark = [pytest.mark.gate, needs_envoy, pytest.mark.asyncio(loop_scope="module")]

CLAIMS = {
    "the door's headers": ("x-stockade-sandbox: sb-root", "x-stockade-agent: root", "x-stockade-agent-type: root"),
    "the same in capitals": ("X-STOCKADE-SANDBOX: sb-root", "X-Stockade-Agent: root"),
    "the same twice": ("x-stockade-sandbox: sb-root", "x-stockade-sandbox: sb-root"),
    "with a space before the colon": ("x-stockade-sandbox : sb-root",),
    "as headers of the connection": ("Connection: x-stockade-sandbox, x-stockade-agent",),
    "a verdict of its own": ("x-stockade-verdict: allow", "x-stockade-decision: 1", "x-stockade-host: evil.test"),
    "the judge's question": ("x-host: ok.test", "x-sandbox: sb-root", "x-agent: root", "x-method: GET"),
    "another service": ("x-forwarded-client-cert: By=spiffe://x;URI=spiffe://stockade/service",),
    "an address of the host's": ("x-forwarded-for: 127.0.0.1", "x-real-ip: 127.0.0.1", "x-envoy-internal: true"),
}


@pytest.mark.parametrize("headers", CLAIMS.values(), ids=CLAIMS)
async def test_a_claim_changes_nothing(sandbox: Sandbox, headers: tuple[str, ...]) -> None:
    walls = sandbox.walls
    walls.ok.heads.clear()
    await sandbox.door.get(f"http://ok.test:{walls.ok.port}/", *headers)
    assert (await sandbox.door.get(f"http://evil.test:{walls.evil.port}/", *headers)).status in (400, 403)
    assert walls.untouched()
    await sandbox.recorded()
    assert not walls.gate.entries(sandbox="sb-root")
    assert not walls.gate.entries(agent="root")
    assert not any("stockade" in head.lower() for head in walls.ok.heads)


@pytest.mark.parametrize("claim", CLAIMS["the door's headers"])
async def test_the_explanations_of_another_stay_his(sandbox: Sandbox, claim: str) -> None:
    await sandbox.door.get("http://evil.test/")
    other = await sandbox.walls.gate.open("sb-root")
    header = claim.replace("sb-root", sandbox.name)
    answer = await other.get("http://policy.stockade.internal/explain", header)
    assert answer.json()["refusals"] == []
    await sandbox.walls.gate.gate.doors.close("sb-root")
