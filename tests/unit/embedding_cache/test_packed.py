"""Replies that are packed by hand are the messages that protobuf would have packed."""

import pytest
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade_embedding_cache.handlers.packed import with_vectors

SMALL = {"hits": b"\x05", "epochs": [{"layer": "agents/a", "epoch": 7}]}
ROWS = {
    "no row": [],
    "one row": [b"abcd"],
    "a length of two bytes": [b"ab" * 40, b"cd" * 40],
    "a length of four bytes": [bytes(6144)] * 400,
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("reply", [pb.BatchGetResponse, pb.StreamGetResponse, pb.LeaseComputeResponse])
def test_a_packed_reply_reads_as_the_whole_message(reply, rows):
    whole = reply(vectors=b"".join(rows), **SMALL)
    assert reply.FromString(with_vectors(reply(**SMALL), rows)) == whole
