"""The served contract: what is put comes back bit for bit, row by row, in every way the contract offers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import vector_pb2

from support.cache import ServedCache, bits, f32, key, vector

WIDE = 1536


def rows(matrix: NDArray[Any]) -> vector_pb2.Rows:
    return vector_pb2.Rows(format=f32(matrix.shape[1]), vectors=matrix.astype("<f4").tobytes())


def keys(*names: object) -> bytes:
    return b"".join(map(key, names))


def test_ten_thousand_vectors_come_back_bit_for_bit(served: ServedCache, agent_name: str) -> None:
    agent, step = served.agent(agent_name), 500
    matrix = np.random.default_rng(1).standard_normal((10_000, WIDE)).astype("<f4")
    for start in range(0, 10_000, step):
        names = range(start, start + step)
        put = agent.BatchPut(pb.BatchPutRequest(keys=keys(*names), rows=rows(matrix[start : start + step])))
        assert bits(put.stored, step) == [True] * step
    for start in range(0, 10_000, step):
        names = range(start, start + step)
        got = agent.BatchGet(pb.BatchGetRequest(keys=keys(*names), format=f32(WIDE)))
        assert got.vectors == matrix[start : start + step].tobytes()


def test_a_nan_row_is_refused_by_row_and_the_others_are_stored(served: ServedCache, agent_name: str) -> None:
    agent = served.agent(agent_name)
    matrix = np.ones((5, 8), dtype="<f4") * np.arange(1, 6, dtype="<f4")[:, None]
    matrix[1, 3], matrix[2], matrix[3, 0] = np.nan, 0, np.inf
    put = agent.BatchPut(pb.BatchPutRequest(keys=keys(*range(5)), rows=rows(matrix)))
    assert bits(put.stored, 5) == [True, False, False, False, True]
    assert [(error.row, vector_pb2.RowFault.Name(error.fault)) for error in put.errors] == [
        (1, "ROW_FAULT_NAN"),
        (2, "ROW_FAULT_ZERO"),
        (3, "ROW_FAULT_INFINITE"),
    ]
    got = agent.BatchGet(pb.BatchGetRequest(keys=keys(*range(5)), format=f32(8)))
    assert bits(got.hits, 5) == bits(put.stored, 5)
    assert got.vectors == matrix[[0, 4]].tobytes()


def test_a_row_of_the_wrong_size_shifts_no_other(served: ServedCache, agent_name: str) -> None:
    agent = served.agent(agent_name)
    good = [vector(i) for i in range(3)]
    blob = vector_pb2.Rows(format=f32(4), vectors=good[0] + good[1][:7] + good[2], sizes=[16, 7, 16])
    put = agent.BatchPut(pb.BatchPutRequest(keys=keys(0, 1, 2), rows=blob))
    assert [(error.row, error.fault) for error in put.errors] == [(1, vector_pb2.ROW_FAULT_SIZE)]
    got = agent.BatchGet(pb.BatchGetRequest(keys=keys(2, 1, 0), format=f32(4)))
    assert (bits(got.hits, 3), got.vectors) == ([True, False, True], good[2] + good[0])


def test_streams_answer_in_order_beyond_one_message(served: ServedCache, agent_name: str) -> None:
    agent, count = served.agent(agent_name), 1000
    matrix = np.random.default_rng(2).standard_normal((count, 3072)).astype("<f4")  # 12 MB

    def puts() -> Iterator[pb.StreamPutRequest]:
        for start in range(0, count, 200):
            names = range(start, start + 200)
            yield pb.StreamPutRequest(keys=keys(*names), rows=rows(matrix[start : start + 200]))

    assert [bits(reply.stored, 200) for reply in agent.StreamPut(puts())] == [[True] * 200] * 5
    order = [*range(count), "no"]
    asked = pb.StreamGetRequest(keys=keys(*order), format=f32(3072))
    replies = list(agent.StreamGet(iter([asked])))
    assert len(replies) > 5
    assert sum(reply.row_count for reply in replies) == count + 1
    assert b"".join(reply.vectors for reply in replies) == matrix.tobytes()
    assert not bits(replies[-1].hits, replies[-1].row_count)[-1]


def test_one_vector(served: ServedCache, agent_name: str) -> None:
    agent = served.agent(agent_name)
    assert not agent.Get(pb.GetRequest(key=key("x"))).HasField("vector")
    packed = vector_pb2.Vector(format=f32(4), data=vector("x"))
    put = agent.Put(pb.PutRequest(key=key("x"), vector=packed, ttl=Duration(seconds=100)))
    got = agent.Get(pb.GetRequest(key=key("x")))
    assert (got.vector, got.layer, got.expire_time) == (packed, f"agents/{agent_name}", put.expire_time)
    assert got.epochs[0] == put.epoch


def test_another_format_is_an_error_of_that_row_not_a_vector(served: ServedCache, agent_name: str) -> None:
    agent = served.agent(agent_name)
    agent.BatchPut(pb.BatchPutRequest(keys=keys("x"), rows=rows(np.ones((1, 4)))))
    got = agent.BatchGet(pb.BatchGetRequest(keys=keys("x"), format=f32(8)))
    assert (got.vectors, [error.fault for error in got.errors]) == (b"", [vector_pb2.ROW_FAULT_FORMAT])


def test_has_delete_list_size_and_clear(served: ServedCache, agent_name: str) -> None:
    agent, layer = served.agent(agent_name), f"agents/{agent_name}"
    agent.BatchPut(pb.BatchPutRequest(keys=keys(*range(5)), rows=rows(np.ones((5, 4)))))
    assert bits(agent.Has(pb.HasRequest(keys=keys(4, 9))).hits, 2) == [True, False]
    assert agent.Delete(pb.DeleteRequest(keys=keys(4, 9))).deleted_count == 1
    size = agent.GetSize(pb.GetSizeRequest()).size
    assert (size.layer, size.entries, size.bytes, size.max_entries > 4) == (layer, 4, 64, True)

    first = agent.ListKeys(pb.ListKeysRequest(page_size=3))
    rest = agent.ListKeys(pb.ListKeysRequest(page_size=3, page_token=first.next_page_token))
    listed = [*first.entries, *rest.entries]
    assert [item.key for item in listed] == sorted(map(key, range(4)))
    assert {item.writer for item in listed} == {f"agent/{agent_name}"}
    assert rest.next_page_token == ""

    cleared = agent.ClearLayer(pb.ClearLayerRequest())
    assert (cleared.cleared_count, cleared.epoch.epoch > rest.epoch.epoch) == (4, True)
    assert agent.GetSize(pb.GetSizeRequest()).size.entries == 0


def test_a_writer_is_cleared_with_what_was_published_of_it(served: ServedCache, agent_name: str) -> None:
    agent, ada = served.agent(agent_name, "std-writer"), served.operator()
    agent.BatchPut(pb.BatchPutRequest(keys=keys("w"), rows=rows(np.ones((1, 4)))))
    source = f"agents/{agent_name}"
    ada.Publish(pb.PublishRequest(layer="types/std-writer", keys=keys("w"), source_layer=source))
    cleared = ada.ClearWriter(pb.ClearWriterRequest(writer=f"agent/{agent_name}"))
    assert (cleared.cleared_count, {epoch.layer for epoch in cleared.epochs}) == (2, {source, "types/std-writer"})
    assert bits(agent.Has(pb.HasRequest(keys=keys("w"))).hits, 1) == [False]


def test_stats_count(served: ServedCache, agent_name: str) -> None:
    agent, ada = served.agent(agent_name), served.operator()
    before = ada.GetStats(pb.GetStatsRequest())
    matrix = np.ones((3, 4))
    matrix[1] = 0
    agent.BatchPut(pb.BatchPutRequest(keys=keys(*range(3)), rows=rows(matrix)))
    agent.BatchGet(pb.BatchGetRequest(keys=keys(0, 1, 7, 8), format=f32(4)))
    after = ada.GetStats(pb.GetStatsRequest(page_size=1000))
    grown = {name: getattr(after, name) - getattr(before, name) for name in ("hits", "misses", "puts", "refused_rows")}
    assert grown == {"hits": 1, "misses": 3, "puts": 2, "refused_rows": 1}
    assert (after.backend, after.degraded) == ("sqlite", False)
    assert f"agents/{agent_name}" in {layer.layer for layer in after.layers}


@pytest.mark.parametrize("place", ["operators/ada", "services"])
def test_prune_now(served: ServedCache, place: str) -> None:
    agent = served.agent(f"pruned-{place.replace('/', '-')}")
    brief = pb.BatchPutRequest(keys=keys(1), rows=rows(np.ones((1, 4))), ttl=Duration(nanos=1))
    agent.BatchPut(brief)
    pruned = served.stub(place).Prune(pb.PruneRequest())
    assert (pruned.pruned_count, pruned.pruned_bytes) == (1, 16)
