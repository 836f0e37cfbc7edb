"""Whoever gave up waiting for Envoy is forgotten."""

import pytest
from envoy.config.listener.v3.listener_pb2 import Listener
from stockade_network_policy.gate.announcer import Announcer
from stockade_network_policy.gate.errors import GateUnavailable


async def test_waiting_in_vain_leaves_nothing_behind() -> None:
    announcer = Announcer()
    announcer.want(put=[Listener(name="egress/sb-one")])
    for _ in range(3):
        with pytest.raises(GateUnavailable):
            await announcer.settled(["egress/sb-one", "api/sb-one"], 0.01)
    assert not announcer._waiting
