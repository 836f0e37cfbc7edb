"""The client of the Redis that counts: one server or a cluster, which answers soon or is not waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoScriptError, RedisClusterException, RedisError

Client = Redis | RedisCluster
AWAY: tuple[type[Exception], ...] = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What means that it cannot be asked now."""
CONNECTIONS = 8  # as many scripts as may be under way; Redis runs one at a time
NOEVICTION = "noeviction"


def open_client(url: str, answer_s: float, *, cluster: bool) -> Client:
    """A client of redis://, rediss:// or unix://; for a cluster, of any of its nodes. Raises ValueError.

    Connects when first used.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": answer_s,
        "retry": Retry(NoBackoff(), 0),  # the client's own retries turn 50 ms into seconds
        "decode_responses": True,
        "protocol": 2,  # no greeting to wait for: a first call has as little time as any other
        "driver_info": None,
    }
    if cluster:
        return _open_cluster(url, answer_s, options)
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=answer_s,
        socket_timeout=10 * answer_s,  # whoever asks tells the time
        **options,
    )
    return Redis.from_pool(pool)


def _open_cluster(url: str, answer_s: float, options: Mapping[str, Any]) -> RedisCluster:
    try:
        return RedisCluster.from_url(
            url,
            max_connections=2 * CONNECTIONS,  # to each node; those that are being closed count
            socket_timeout=0.75 * answer_s,  # heard by the client itself, which then asks the others who took over
            require_full_coverage=False,
            **options,
        )
    except RedisClusterException as error:
        raise ValueError(str(error)) from None


def refused(error: Exception) -> bool:
    """Whether name or password were wrong; a cluster's client says so by what it was caused by."""
    return isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError)


async def evaluate(client: Client, sha: str, source: str, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
    """Runs a script, by its name where the server knows it: one that has just taken over does not."""
    try:
        return await client.evalsha(sha, len(keys), *keys, *arguments)
    except NoScriptError:
        return await client.eval(source, len(keys), *keys, *arguments)


async def eviction_policy(client: Client) -> str:
    """What it does when its memory is full: "noeviction", or how it chooses what to lose."""
    if isinstance(client, RedisCluster):
        found: dict[str, Any] = await client.info("memory", target_nodes=RedisCluster.PRIMARIES)
    else:
        found = {"": await client.info("memory")}
    policies = {str(node.get("maxmemory_policy", NOEVICTION)) for node in found.values()}
    return max(policies - {NOEVICTION}, default=NOEVICTION)
