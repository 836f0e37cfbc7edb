"""Private upstreams are refused in two layers, each of which holds alone, and the names inside tunnels are held."""

from pathlib import Path
from typing import Any

import pytest

from support.gate import needs_envoy
from support.world import World, a_world

pytestmark = [pytest.mark.gate, needs_envoy]


def without_answers_filter(configuration: dict[str, Any]) -> None:
    """Leaves the rules on chosen addresses alone."""
    _remove(configuration, lambda key, _: key == "resolved_address_filter")


def without_address_rules(configuration: dict[str, Any]) -> None:
    """Leaves the filter of DNS answers alone."""
    _remove(configuration, lambda _, value: _is_address_rule(value))


LAYERS = {
    "both layers": lambda configuration: None,
    "only the filter of answers": without_address_rules,
    "only the rules on addresses": without_answers_filter,
}


@pytest.mark.parametrize("edit", LAYERS.values(), ids=LAYERS)
async def test_a_private_upstream_is_never_connected(tmp_path: Path, edit: Any) -> None:
    async with a_world(tmp_path, edit=edit) as world:
        plain = await world.door.get(f"http://private.test:{world.private.port}/")
        tunnel = await world.door.fetch(f"private.test:{world.private.port}", world.trust, "private.test")
        assert (plain.status, plain.json()["reason"]) == (502, "ADDRESS_REFUSED")
        assert tunnel == b""
        assert world.private.untouched()
        refused = await world.gate.entry(intent_id=plain.json()["decision"])
        assert refused["metadata"]["refused"].startswith("ADDRESS_REFUSED")


async def test_the_layers_are_two(tmp_path: Path) -> None:
    def edit(configuration: dict[str, Any]) -> None:
        without_answers_filter(configuration)
        without_address_rules(configuration)

    async with a_world(tmp_path, edit=edit) as world:
        assert (await world.door.get(f"http://private.test:{world.private.port}/")).status == 200


async def test_an_exception_is_for_its_port_alone(world: World) -> None:
    answer = await world.door.get("http://ok.test/")
    assert (answer.status, answer.json()["reason"]) == (502, "ADDRESS_REFUSED")
    told = answer.headers["x-stockade-rule"], answer.headers["x-stockade-decision"]
    assert told == ("address_refused", answer.json()["decision"])


async def test_a_name_without_an_address_is_told_apart(world: World) -> None:
    answer = await world.door.get("http://nowhere.test/")
    assert (answer.status, answer.json()["reason"]) == (502, "NAME_NOT_RESOLVED")


INSIDE = {
    "another server name": ("ok.test", "SERVER_NAME"),
    "no server name": (None, "SERVER_NAME"),
}


@pytest.mark.parametrize(("name", "why"), INSIDE.values(), ids=INSIDE)
async def test_a_tunnel_speaks_to_its_own_host_only(world: World, name: str | None, why: str) -> None:
    assert await world.door.fetch(f"secure.test:{world.tls.port}", world.trust, name) == b""
    assert world.tls.untouched()
    await _refused_silently(world, why)


NOT_TLS = {
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: secure.test\r\n\r\n",
    "an SSH banner": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a broken handshake": b"\x16\x03\x01\x00\x05hello",
}


@pytest.mark.parametrize("said", NOT_TLS.values(), ids=NOT_TLS)
async def test_a_tunnel_speaks_tls_only(world: World, said: bytes) -> None:
    tunnel = await world.door.connect(f"secure.test:{world.tls.port}")
    assert (tunnel.answer.status, await tunnel.ask(said)) == (200, b"")
    assert world.tls.untouched()
    await _refused_silently(world, "NOT_TLS")


async def _refused_silently(world: World, why: str) -> None:
    allowed = await world.gate.entry(action="ALLOWED", domain="secure.test")
    closed = await world.gate.entry(intent_id=allowed["id"])
    assert closed["metadata"]["refused"].startswith(why)
    assert closed.get("bytes_sent", 0) == 0


def _remove(value: Any, wanted: Any) -> None:
    """Drop, anywhere in a configuration, what `wanted(key, value)` names."""
    if isinstance(value, dict):
        for key in [key for key, inner in value.items() if wanted(key, inner)]:
            del value[key]
        for inner in value.values():
            _remove(inner, wanted)
    elif isinstance(value, list):
        value[:] = [inner for inner in value if not wanted("", inner)]
        for inner in value:
            _remove(inner, wanted)


def _is_address_rule(value: Any) -> bool:
    rules = value.get("typed_config", {}).get("rules", {}) if isinstance(value, dict) else {}
    return "refused_address" in rules.get("policies", {})
