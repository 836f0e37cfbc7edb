"""No agent reads what another agent wrote, unless an operator or a service published it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import vector_pb2

from support.cache import ServedCache, bits, f32, key, vector

F4 = f32(4)
VICTIM, PEER, STRANGER = ("victim", "qe-test-generator"), ("peer", "test-generator"), ("stranger", "load-tester")
LAYERS = ["", "agents/victim", "agents/peer", "types/test-generator", "types/qe-test-generator", "agents/evil"]


def poison(name: object) -> vector_pb2.Rows:
    return vector_pb2.Rows(format=F4, vectors=vector(f"poison {name}"))


def put(agent: Any, k: bytes, layer: str) -> None:
    packed = vector_pb2.Vector(format=F4, data=vector("poison"))
    agent.Put(pb.PutRequest(layer=layer, key=k, vector=packed))


def batch_put(agent: Any, k: bytes, layer: str) -> None:
    agent.BatchPut(pb.BatchPutRequest(layer=layer, keys=k, rows=poison(1)))


def stream_put(agent: Any, k: bytes, layer: str) -> None:
    list(agent.StreamPut(iter([pb.StreamPutRequest(layer=layer, keys=k, rows=poison(2))])))


def publish(agent: Any, k: bytes, layer: str) -> None:
    agent.Publish(pb.PublishRequest(layer=layer or "types/test-generator", keys=k, rows=poison(3)))


def promote(agent: Any, k: bytes, layer: str) -> None:
    agent.Publish(pb.PublishRequest(layer="types/test-generator", keys=k, source_layer=layer or "agents/evil"))


def complete(agent: Any, k: bytes, layer: str) -> None:
    agent.CompleteCompute(pb.CompleteComputeRequest(layer=layer, lease_id="any", keys=k, rows=poison(4)))


def complete_a_lease(agent: Any, k: bytes, layer: str) -> None:
    lease = agent.LeaseCompute(pb.LeaseComputeRequest(layer=layer, keys=k, format=F4))
    request = pb.CompleteComputeRequest(layer=layer, lease_id=lease.lease_id or "any", keys=k, rows=poison(5))
    agent.CompleteCompute(request)


WAYS = [put, batch_put, stream_put, publish, promote, complete, complete_a_lease]


def found(agent: Any, k: bytes) -> list[bytes]:
    """What an agent gets for a key, in each way that reads."""
    got = agent.Get(pb.GetRequest(key=k))
    batch = agent.BatchGet(pb.BatchGetRequest(keys=k, format=F4))
    stream = list(agent.StreamGet(iter([pb.StreamGetRequest(keys=k, format=F4)])))
    lease = agent.LeaseCompute(pb.LeaseComputeRequest(keys=k, format=F4))
    if lease.lease_id:
        agent.ReleaseCompute(pb.ReleaseComputeRequest(lease_id=lease.lease_id, keys=k))
    return [got.vector.data, batch.vectors, stream[0].vectors, lease.vectors]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_planted_vector_reaches_nobody(
    served: ServedCache, way: Callable[[Any, bytes, str], None], layer: str
) -> None:
    absent, present = key(f"absent {way.__name__} {layer}"), key(f"present {way.__name__} {layer}")
    victim, evil = served.agent(*VICTIM), served.agent("evil")
    right = vector_pb2.Rows(format=F4, vectors=vector("right"))
    victim.BatchPut(pb.BatchPutRequest(keys=present, rows=right))
    for k in (absent, present):
        with suppress(grpc.RpcError):  # refused or not, it is what others then read that counts
            way(evil, k, layer)
    assert found(victim, present) == [vector("right")] * 4
    for name, agent_type in (VICTIM, PEER, STRANGER):
        assert found(served.agent(name, agent_type), absent) == [b""] * 4


def test_what_is_published_reaches_its_type_and_no_other(served: ServedCache) -> None:
    k = key("published")
    rows = vector_pb2.Rows(format=F4, vectors=vector("published"))
    served.operator().Publish(pb.PublishRequest(layer="types/qe-test-generator", keys=k, rows=rows))
    for name, agent_type in (VICTIM, PEER):
        assert found(served.agent(name, agent_type), k) == [vector("published")] * 4
    assert found(served.agent(*STRANGER), k) == [b""] * 4


def test_the_private_layer_is_asked_first(served: ServedCache) -> None:
    k = key("both")
    shared, own = (vector_pb2.Rows(format=F4, vectors=vector(name)) for name in ("shared", "own"))
    served.stub("services").Publish(pb.PublishRequest(layer="types/test-generator", keys=k, rows=shared))
    agent = served.agent("both")
    agent.BatchPut(pb.BatchPutRequest(keys=k, rows=own))
    assert found(agent, k) == [vector("own")] * 4
    assert found(served.agent("neither"), k) == [vector("shared")] * 4


def test_publishing_from_a_private_layer_keeps_the_writer_and_names_what_is_absent(served: ServedCache) -> None:
    agent, ada, k = served.agent("author"), served.operator(), key("work")
    rows = vector_pb2.Rows(format=F4, vectors=vector("work"))
    agent.BatchPut(pb.BatchPutRequest(keys=k, rows=rows))
    request = pb.PublishRequest(layer="types/author", keys=key("none") + k, source_layer="agents/author")
    published = ada.Publish(request)
    assert bits(published.stored, 2) == [False, True]
    assert [(error.row, error.fault) for error in published.errors] == [(0, vector_pb2.ROW_FAULT_NOT_FOUND)]
    (listed,) = ada.ListKeys(pb.ListKeysRequest(layer="types/author")).entries
    assert listed.writer == "agent/author"


def test_an_agents_changes_stay_in_its_own_layer(served: ServedCache) -> None:
    one, two, k = served.agent("one"), served.agent("two"), key("mine")
    rows = vector_pb2.Rows(format=F4, vectors=vector("mine"))
    for agent in (one, two):
        agent.BatchPut(pb.BatchPutRequest(keys=k, rows=rows))
    two.Delete(pb.DeleteRequest(keys=k))
    two.ClearLayer(pb.ClearLayerRequest())
    assert found(one, k) == [vector("mine")] * 4
    assert two.ListKeys(pb.ListKeysRequest()).entries == []
