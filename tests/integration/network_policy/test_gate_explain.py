"""A sandbox can ask why it was refused, and learns nothing of others."""

import pytest

from support.gate import needs_envoy, until
from support.proxy import Proxy
from support.world import World

pytestmark = [pytest.mark.gate, needs_envoy]

URL = "http://policy.stockade.internal/explain"


async def refusals(door: Proxy) -> list[dict[str, object]]:
    """What a sandbox is told of its latest refusals."""
    told = (await door.get(URL)).json()["refusals"]
    assert isinstance(told, list)
    return told


async def test_the_url_of_a_refusal_explains_it(world: World) -> None:
    refused = (await world.door.get("http://evil.test/")).json()
    told = (await world.door.get(refused["explain"])).json()
    assert (told["decision"], told["host"], told["rule"]) == (refused["decision"], "evil.test", refused["rule"])


async def test_a_refused_connect_whose_body_clients_hide_is_listed(world: World) -> None:
    tunnel = await world.door.connect("evil.test:443")
    assert tunnel.answer.status == 403
    assert (await refusals(world.door))[0]["host"] == "evil.test"


async def test_a_silent_end_is_listed(world: World) -> None:
    await world.door.fetch(f"secure.test:{world.tls.port}", world.trust, "ok.test")
    allowed = await world.gate.entry(action="ALLOWED", domain="secure.test")
    await world.gate.entry(intent_id=allowed["id"])
    told = (await refusals(world.door))[0]
    assert told["host"] == "secure.test"
    assert "SERVER_NAME" in str(told["outcome"])


async def test_nobody_learns_of_anothers_refusals(world: World) -> None:
    other = await world.gate.open("sb-two")
    refused = (await world.door.get("http://evil.test/")).json()
    assert (await other.get(refused["explain"])).status == 404
    assert await refusals(other) == []


ELSEWHERE = {
    "another method": ("POST", URL, 405),
    "another path": ("GET", "http://policy.stockade.internal/", 404),
    "the judge itself": ("POST", "http://policy.stockade.internal/check", 405),
}


@pytest.mark.parametrize(("method", "url", "status"), ELSEWHERE.values(), ids=ELSEWHERE)
async def test_the_name_answers_nothing_else(world: World, method: str, url: str, status: int) -> None:
    assert (await world.door.get(url, method=method)).status == status


async def test_a_tunnel_to_the_name_is_refused(world: World) -> None:
    assert (await world.door.connect("policy.stockade.internal:443")).answer.status == 403


async def test_asking_costs_no_decision(world: World) -> None:
    await refusals(world.door)
    await until(lambda: world.gate.gate.judge.judged == 0)
