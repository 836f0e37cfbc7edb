"""Steps on the embedding cache: golden keys, vectors bit for bit, and a stream of more than a message holds."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from context import Context
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc, vector_pb2

SPEC = "stockade.embeddingcache.key/1"


def service(context: Context) -> Any:
    return context.stub(embedding_cache_service_pb2_grpc.EmbeddingCacheServiceStub, "cache")


def keys(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Computes every golden key."""
    cases = json.loads(Path(given["path"]).read_text())["keys"]
    wrong = [case["case"] for case in cases if key(case["model"], case["text"]) != case["key"]]
    return {"computed": len(cases), "wrong": wrong}


def key(model: dict[str, Any], text: str) -> str:
    """A key as docs/embedding-keys.md says."""
    parameters = sorted((name.encode(), value.encode()) for name, value in model.get("parameters", {}).items())
    fields = [
        SPEC.encode(),
        model["provider"].encode(),
        model["model"].encode(),
        model["revision"].encode(),
        str(model["dimensions"]).encode(),
        model.get("dtype", "f32").encode(),
        model.get("role", "").encode(),
        b"1" if model.get("normalise") else b"0",
        b"".join(framed(name) + framed(value) for name, value in parameters),
        text.encode(),
    ]
    return hashlib.sha256(b"".join(map(framed, fields))).hexdigest()


def framed(field: bytes) -> bytes:
    return len(field).to_bytes(8, "big") + field


def vectors(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Puts rows, one of them bad, and asks for them and for one that is not there."""
    vector_format = vector_pb2.VectorFormat(dimensions=given["dimensions"], dtype=vector_pb2.DTYPE_F32)
    rows = vector_pb2.Rows(format=vector_format, vectors=bytes.fromhex(given["rows"]))
    put = service(context).BatchPut(
        pb.BatchPutRequest(layer=given["layer"], keys=bytes.fromhex(given["keys"]), rows=rows)
    )
    got = service(context).BatchGet(
        pb.BatchGetRequest(layer=given["layer"], keys=bytes.fromhex(given["ask"]), format=vector_format)
    )
    return {
        "stored": put.stored.hex(),
        "faults": [[error.row, vector_pb2.RowFault.Name(error.fault)] for error in put.errors],
        "hits": got.hits.hex(),
        "vectors": got.vectors.hex(),
    }


def vector_stream(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Streams a file of rows in and out again, in chunks, with one key more than there are rows."""
    data, layer = Path(given["source"]).read_bytes(), given["layer"]
    size, chunk = given["dimensions"] * 4, given["chunk_rows"]
    vector_format = vector_pb2.VectorFormat(dimensions=given["dimensions"], dtype=vector_pb2.DTYPE_F32)
    names = [hashlib.sha256(f"row {row}".encode()).digest() for row in range(len(data) // size + 1)]

    def puts() -> Iterator[pb.StreamPutRequest]:
        for row in range(0, len(data) // size, chunk):
            part = data[row * size : (row + chunk) * size]
            row_keys = b"".join(names[row : row + len(part) // size])
            yield pb.StreamPutRequest(
                layer=layer, keys=row_keys, rows=vector_pb2.Rows(format=vector_format, vectors=part)
            )

    stored = sum(ones(reply.stored) for reply in service(context).StreamPut(puts()))
    ask = pb.StreamGetRequest(layer=layer, keys=b"".join(names), format=vector_format)
    replies = list(service(context).StreamGet(iter([ask])))
    found = b"".join(reply.vectors for reply in replies)
    return {
        "stored": stored,
        "asked": sum(reply.row_count for reply in replies),
        "found": sum(ones(reply.hits) for reply in replies),
        "chunks": "several" if len(replies) > 1 else "one",
        "bytes": len(found),
        "sha256": hashlib.sha256(found).hexdigest(),
    }


def ones(bitmap: bytes) -> int:
    return sum(byte.bit_count() for byte in bitmap)
