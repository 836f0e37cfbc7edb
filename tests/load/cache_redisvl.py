"""RedisVL's EmbeddingsCache on the same Redis, in an environment of its own: what ours stands beside.

python cache_redisvl.py redis.sock    prints {"mget_vectors_per_s": …, "get_p50_us": …}
"""

import json
import statistics
import sys
import time

import numpy as np
import redis
from redisvl.extensions.cache.embeddings import EmbeddingsCache  # type: ignore[import-not-found]

ROWS, DIMENSIONS, MODEL, SECONDS = 256, 1536, "bench", 3.0


def main() -> None:
    """Store, then read in batches and one by one."""
    client = redis.Redis(unix_socket_path=sys.argv[1])
    cache = EmbeddingsCache(name="redisvl", redis_client=client)
    texts = [f"text {row}" for row in range(ROWS)]
    vectors = np.random.default_rng(1).standard_normal((ROWS, DIMENSIONS)).astype("<f4").tolist()
    rows = zip(texts, vectors, strict=True)
    cache.mset([{"content": text, "model_name": MODEL, "embedding": vector} for text, vector in rows])
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
        assert all(cache.mget(texts, MODEL))
        calls += 1
    per_second = calls * ROWS / (time.perf_counter() - begun)
    taken = []
    for text in texts * 2:
        started = time.perf_counter()
        cache.get(text, MODEL)
        taken.append(time.perf_counter() - started)
    print(json.dumps({"mget_vectors_per_s": per_second, "get_p50_us": statistics.median(taken) * 1e6}))


if __name__ == "__main__":
    main()
