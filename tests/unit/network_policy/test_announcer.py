"""Envoy is told of what changed, of nothing twice, and whoever gave up waiting for it is forgotten."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from stockade_network_policy.gate.announcer import Announcer
from stockade_network_policy.gate.errors import GateUnavailable


class Envoy:
    """The client's side of one stream: it reads what it is told, and confirms it when it reads on."""

    def __init__(self, announcer: Announcer, **known: str) -> None:
        self._says: asyncio.Queue[DeltaDiscoveryRequest] = asyncio.Queue()
        self._says.put_nowait(DeltaDiscoveryRequest(initial_resource_versions=known))
        self._hears: AsyncIterator[DeltaDiscoveryResponse] = announcer.DeltaListeners(self._requests(), None)

    async def told(self) -> tuple[set[str], set[str]]:
        """The listeners that it is given, and those that are taken."""
        response = await anext(self._hears)
        self._says.put_nowait(DeltaDiscoveryRequest(response_nonce=response.nonce))
        return {resource.name for resource in response.resources}, set(response.removed_resources)

    async def _requests(self) -> AsyncIterator[DeltaDiscoveryRequest]:
        while True:
            yield await self._says.get()


async def test_a_change_tells_of_what_changed_alone() -> None:
    announcer = Announcer()
    announcer.want(put=[Listener(name="one"), Listener(name="two"), Listener(name="three")])
    envoy = Envoy(announcer, gone="1")
    assert await envoy.told() == ({"one", "two", "three"}, {"gone"})
    announcer.want(put=[Listener(name="two", stat_prefix="cut")], remove=["one"])
    assert await envoy.told() == ({"two"}, {"one"})  # changed while Envoy had not yet confirmed
    announcer.want(put=[Listener(name="three")])  # as it is
    hearing = asyncio.create_task(envoy.told())
    await asyncio.sleep(0.01)
    assert not hearing.done()
    announcer.want(put=[Listener(name="four")])
    assert await hearing == ({"four"}, set())


async def test_what_envoy_kept_over_a_reconnection_is_not_told_again() -> None:
    announcer = Announcer()
    announcer.want(put=[Listener(name="one"), Listener(name="two")])
    await Envoy(announcer).told()
    kept = announcer._wanted["one"].version
    assert await Envoy(announcer, one=kept, two="old").told() == ({"two"}, set())


async def test_waiting_in_vain_leaves_nothing_behind() -> None:
    announcer = Announcer()
    announcer.want(put=[Listener(name="egress/sb-one")])
    for _ in range(3):
        with pytest.raises(GateUnavailable):
            await announcer.settled(["egress/sb-one", "api/sb-one"], 0.01)
    assert not announcer._waiting
