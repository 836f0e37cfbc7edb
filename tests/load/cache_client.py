"""A client of the cache that needs nothing but grpc and the stubs, so that it runs in a sandbox as well.

    python cache_client.py TARGET [--clients 4] [--seconds 3] [--agent a]

Stores 256 × 1536-d f32 vectors, then reads them in one unary call after another, each client in a process of its own.
Prints the vectors per second of all clients together.
"""

import argparse
import hashlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append("/opt/agent/site")

import grpc
import numpy as np
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as rpc
from stockade.embeddingcache.v1 import vector_pb2

ROWS, DIMENSIONS = 256, 1536
KEYS = b"".join(hashlib.sha256(b"%d" % row).digest() for row in range(ROWS))
FORMAT = vector_pb2.VectorFormat(dimensions=DIMENSIONS, dtype=vector_pb2.DTYPE_F32)
START_UP_S = 2.5


def main() -> None:
    """Store, start the clients, add up what they read."""
    told = _arguments()
    headers = _headers(told.agent)
    with grpc.insecure_channel(told.target) as channel:
        stub = rpc.EmbeddingCacheServiceStub(channel)
        if told.start_at:
            print(read(stub, headers, told.start_at, told.seconds))
            return
        vectors = np.random.default_rng(1).standard_normal((ROWS, DIMENSIONS)).astype("<f4").tobytes()
        rows = vector_pb2.Rows(format=FORMAT, vectors=vectors)
        stub.BatchPut(pb.BatchPutRequest(keys=KEYS, rows=rows), metadata=headers)
        assert stub.BatchGet(pb.BatchGetRequest(keys=KEYS, format=FORMAT), metadata=headers).vectors == vectors
    command = [sys.executable, __file__, *sys.argv[1:], "--start-at", str(time.time() + START_UP_S)]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(told.clients)]
    print(sum(float(client.communicate()[0]) for client in clients))


def read(stub: Any, headers: tuple[tuple[str, str], ...], start_at: float, seconds: float) -> float:
    """Vectors per second of one client."""
    request = pb.BatchGetRequest(keys=KEYS, format=FORMAT)
    stub.BatchGet(request, metadata=headers)
    time.sleep(max(0.0, start_at - time.time()))
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        stub.BatchGet(request, metadata=headers)
        calls += 1
    return calls * ROWS / (time.perf_counter() - begun)


def _headers(agent: str) -> tuple[tuple[str, str], ...]:
    """What a door would say; in a sandbox there is one, and it says so itself."""
    if not agent:
        return ()
    return (("x-stockade-sandbox", "sb-abcdefghijkl"), ("x-stockade-agent", agent), ("x-stockade-agent-type", "bench"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("target")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--agent", default="")
    parser.add_argument("--start-at", type=float, default=0.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
