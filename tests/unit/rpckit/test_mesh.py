"""What a node may not do at a service that knows no registry."""

from types import SimpleNamespace

import pytest
from stockade_rpckit.identity import Unproven
from stockade_rpckit.mesh import Mesh

NAMED = {"x-stockade-agent": "a.main", "x-stockade-agent-type": "a", "x-stockade-sandbox": "sb-abcdefgh2345"}


async def test_without_a_registry_no_node_speaks_for_anybody() -> None:
    connection = SimpleNamespace(auth_context=lambda: {"peer_uri": [b"spiffe://stockade/node/node-1"]})
    proved = Mesh("stockade").by_certificate(NAMED, connection)
    with pytest.raises(Unproven, match="set its REGISTRY_URL") as refused:
        await proved  # type: ignore[misc]
    assert refused.value.reason == "NODE_NOT_PLACED"
    assert refused.value.claimed["principal"] == "node-1"
