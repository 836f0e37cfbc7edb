"""What is refused, by whom it came and what was wrong with it: one reason and one line that names the mend."""

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import vector_pb2
from stockade_rpckit.errors import details_of

from support.cache import ServedCache, f32, key, vector

K = key("x")
F4 = f32(4)
ROW = vector_pb2.Rows(format=F4, vectors=vector("x"))


def packed(data: bytes, **fmt: Any) -> vector_pb2.Vector:
    return vector_pb2.Vector(format=vector_pb2.VectorFormat(**fmt) if fmt else F4, data=data)


TOKEN = pb.ListKeysRequest
NAN, INF = b"\0\0\xc0\x7f" * 4, b"\0\0\x80\x7f" * 4
CASES = [
    # what, rpc, request, status, reason, part of the message
    ("NaN", "Put", pb.PutRequest(key=K, vector=packed(NAN)), "INVALID_ARGUMENT", "VECTOR_INVALID", "NaN"),
    ("infinity", "Put", pb.PutRequest(key=K, vector=packed(INF)), "INVALID_ARGUMENT", "VECTOR_INVALID", "infinite"),
    ("zero", "Put", pb.PutRequest(key=K, vector=packed(bytes(16))), "INVALID_ARGUMENT", "VECTOR_INVALID", "zero"),
    ("size", "Put", pb.PutRequest(key=K, vector=packed(b"123")), "INVALID_ARGUMENT", "VECTOR_INVALID", "dimensions"),
    (
        "no dtype",
        "Put",
        pb.PutRequest(key=K, vector=packed(b"1234", dimensions=1)),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "dtype",
    ),
    (
        "unknown dtype",
        "Put",
        pb.PutRequest(key=K, vector=packed(b"1234", dimensions=1, dtype=99)),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "dtype",
    ),
    (
        "no dimensions",
        "BatchGet",
        pb.BatchGetRequest(keys=K, format=vector_pb2.VectorFormat(dtype=vector_pb2.DTYPE_F32)),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "dimensions",
    ),
    (
        "negative ttl",
        "BatchPut",
        pb.BatchPutRequest(keys=K, rows=ROW, ttl=Duration(seconds=-1)),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "ttl",
    ),
    ("half a key", "Has", pb.HasRequest(keys=K + b"1"), "INVALID_ARGUMENT", "KEYS_MALFORMED", "33 bytes"),
    ("no key", "Has", pb.HasRequest(), "INVALID_ARGUMENT", "INVALID_REQUEST", "keys"),
    ("short key", "Get", pb.GetRequest(key=b"1"), "INVALID_ARGUMENT", "INVALID_REQUEST", "key"),
    (
        "rows that cannot be told apart",
        "BatchPut",
        pb.BatchPutRequest(keys=K + key("y"), rows=ROW),
        "INVALID_ARGUMENT",
        "ROWS_MISMATCH",
        "send one row a key",
    ),
    (
        "17 MB in one message",
        "BatchPut",
        pb.BatchPutRequest(keys=K, rows=vector_pb2.Rows(format=F4, vectors=bytes(17 << 20))),
        "RESOURCE_EXHAUSTED",
        None,
        "larger than max",
    ),
    (
        "5 MB of rows",
        "BatchPut",
        pb.BatchPutRequest(keys=K, rows=vector_pb2.Rows(format=F4, vectors=bytes(5 << 20))),
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "vectors",
    ),
    ("unknown layer", "Get", pb.GetRequest(key=K, layer="all"), "INVALID_ARGUMENT", "LAYER_UNKNOWN", "<agent id>"),
    ("another's layer", "Get", pb.GetRequest(key=K, layer="agents/b"), "PERMISSION_DENIED", "LAYER_NOT_ALLOWED", "own"),
    (
        "another type's layer",
        "BatchGet",
        pb.BatchGetRequest(keys=K, format=F4, layer="types/load-tester"),
        "PERMISSION_DENIED",
        "LAYER_NOT_ALLOWED",
        "own",
    ),
    (
        "a shared layer to write",
        "BatchPut",
        pb.BatchPutRequest(keys=K, rows=ROW, layer="types/test-generator"),
        "PERMISSION_DENIED",
        "LAYER_NOT_ALLOWED",
        "layer",
    ),
    (
        "a shared layer to clear",
        "ClearLayer",
        pb.ClearLayerRequest(layer="types/test-generator"),
        "PERMISSION_DENIED",
        "LAYER_NOT_ALLOWED",
        "own layer only",
    ),
    (
        "an agent that publishes",
        "Publish",
        pb.PublishRequest(keys=K, rows=ROW, layer="types/test-generator"),
        "PERMISSION_DENIED",
        "CALLER_NOT_ALLOWED",
        "OPERATOR",
    ),
    (
        "an agent that clears a writer",
        "ClearWriter",
        pb.ClearWriterRequest(writer="agent/b"),
        "PERMISSION_DENIED",
        "CALLER_NOT_ALLOWED",
        "OPERATOR",
    ),
    ("page token", "ListKeys", TOKEN(page_token="zz"), "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", "page_token"),
    ("short token", "ListKeys", TOKEN(page_token="ab"), "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", "page_token"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rpc", "request_", "status", "reason", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_an_agents_call_is_refused(
    served: ServedCache, rpc: str, request_: Any, status: str, reason: str | None, words: str
) -> None:
    agent = served.agent("refused")
    with pytest.raises(grpc.RpcError) as failed:
        getattr(agent, rpc)(request_)
    details = details_of(failed.value)
    assert (details["code"], details.get("reason")) == (status, reason)
    assert words in str(details["message"])
    assert "\n" not in str(details["message"])


def test_too_many_hits_for_one_message_name_the_way(served: ServedCache) -> None:
    agent, fmt = served.agent("wide"), f32(16_384)
    keys = b"".join(map(key, range(70)))
    for start in range(0, 70, 35):
        blob = b"".join(vector(i, 16_384) for i in range(start, start + 35))
        part = keys[start * 32 : (start + 35) * 32]
        agent.BatchPut(pb.BatchPutRequest(keys=part, rows=vector_pb2.Rows(format=fmt, vectors=blob)))
    with pytest.raises(grpc.RpcError) as failed:
        agent.BatchGet(pb.BatchGetRequest(keys=keys, format=fmt))
    details = details_of(failed.value)
    assert (details["code"], details["reason"]) == ("RESOURCE_EXHAUSTED", "BATCH_TOO_LARGE")
    assert details["metadata"] == {"rows_that_fit": "63"}
    with pytest.raises(grpc.RpcError) as failed:
        agent.LeaseCompute(pb.LeaseComputeRequest(keys=keys, format=fmt))
    assert details_of(failed.value)["reason"] == "BATCH_TOO_LARGE"


@pytest.mark.parametrize("place", ["operators/ada", "services"])
def test_whoever_is_no_agent_names_a_layer(served: ServedCache, place: str) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        served.stub(place).Get(pb.GetRequest(key=K))
    assert details_of(failed.value)["reason"] == "LAYER_REQUIRED"


def test_the_gate_without_an_identity(served: ServedCache) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        served.stub("gate").Get(pb.GetRequest(key=K))
    assert details_of(failed.value)["reason"] == "IDENTITY_MISSING"


def test_an_auditor_reads_stats_and_nothing_else(served: ServedCache) -> None:
    eve = served.stub("auditors/eve")
    assert eve.GetStats(pb.GetStatsRequest()).backend == "sqlite"
    with pytest.raises(grpc.RpcError) as failed:
        eve.Get(pb.GetRequest(key=K, layer="agents/a"))
    assert details_of(failed.value)["reason"] == "CALLER_NOT_ALLOWED"
