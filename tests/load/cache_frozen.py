"""What callers meet while the cache's Redis stands still."""

import asyncio
import signal
import time

import grpc
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as rpc

from load.harness import Figure
from support.cache import ServedCache, agent_headers, f32, key
from support.redis_server import RedisServer

CALLS, CLIENTS = 10_000, 4
REQUEST = pb.BatchGetRequest(keys=b"".join(map(key, range(8))), format=f32(4))


async def freeze(served: ServedCache, server: RedisServer) -> list[Figure]:
    """10,000 calls by four clients; Redis is stopped after a quarter of them."""
    async with grpc.aio.insecure_channel(f"unix:{served.root}/run/gate/cache.sock") as channel:
        stub = rpc.EmbeddingCacheServiceStub(channel)
        headers = agent_headers("frozen")
        await stub.BatchGet(REQUEST, metadata=headers)
        waits, errors = list[float](), 0

        async def client(number: int) -> None:
            nonlocal errors
            for i in range(CALLS // CLIENTS):
                if number == 0 and i == CALLS // CLIENTS // 4:
                    server.process.send_signal(signal.SIGSTOP)
                begun = time.perf_counter()
                try:
                    await stub.BatchGet(REQUEST, metadata=headers)
                except grpc.RpcError:
                    errors += 1
                waits.append(time.perf_counter() - begun)

        try:
            await asyncio.gather(*map(client, range(CLIENTS)))
        finally:
            server.process.send_signal(signal.SIGCONT)
        back = await _back(served)
    return [
        Figure("frozen_redis_client_errors", errors, "of 10000 calls", "0"),
        Figure("frozen_redis_worst_ms", max(waits) * 1000, "ms", "≤ 100"),
        Figure("frozen_redis_back_s", back, "s", "≤ 2"),
    ]


async def _back(served: ServedCache) -> float:
    """Seconds until the service says that Redis is back."""
    begun, operator = time.perf_counter(), served.operator()
    while await asyncio.to_thread(lambda: operator.GetStats(pb.GetStatsRequest()).degraded):  # noqa: ASYNC110 it is another process
        await asyncio.sleep(0.02)
    return time.perf_counter() - begun
