"""Placements in a real Redis: what is written is found, for as long as it may be, and nothing else is."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from stockade_rpckit import placements
from stockade_rpckit.placements import FRESH_SECONDS, KEPT_SECONDS, Placement, Placements, PlacementsUnavailable

from support.clock import Clock
from support.redis_server import RedisServer, redis_server

SANDBOX = "sb-abcdefgh2345"
HERE = Placement("node-1", "qe-test-generator.main", "test-generator", "ada", 4_000_000_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def found(server: RedisServer, clock: Clock) -> Placements:
    return Placements.at(server.url, clock)


def write(server: RedisServer, *queue: object) -> None:
    with redis.Redis.from_url(server.url) as client, client.pipeline() as pipeline:
        for function, *arguments in queue:
            function(pipeline, *arguments)
        pipeline.execute()


async def test_it_is_found_from_claim_to_end(server: RedisServer, clock: Clock, found: Placements) -> None:
    assert await found.find(SANDBOX) is None
    write(server, (placements.place, SANDBOX, HERE))
    assert await found.find(SANDBOX) == HERE
    write(server, (placements.remove, SANDBOX, "sb-other"), (placements.remove,))
    clock.now += FRESH_SECONDS - 0.1
    assert await found.find(SANDBOX) == HERE
    clock.now += 0.2
    assert await found.find(SANDBOX) is None


async def test_it_ends_with_its_sandbox_by_the_writers_clock(server: RedisServer) -> None:
    for now_s, left_s in ((HERE.expires_at - 90, 90), (HERE.expires_at - 0.5, 1), (HERE.expires_at + 300.0, 1)):
        write(server, (placements.place, SANDBOX, HERE, now_s))
        with redis.Redis.from_url(server.url) as client:
            assert client.ttl(placements.key(SANDBOX)) == left_s


async def test_many_ask_once(server: RedisServer, found: Placements) -> None:
    write(server, (placements.place, SANDBOX, HERE))
    with redis.Redis.from_url(server.url) as client:
        before = client.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"]
        assert set(await asyncio.gather(*(found.find(SANDBOX) for _ in range(500)))) == {HERE}
        assert client.info("commandstats")["cmdstat_hgetall"]["calls"] == before + 1


async def test_what_is_not_a_placement_places_nobody(server: RedisServer, found: Placements) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.hset(placements.key(SANDBOX), mapping={"node": "node-1", "expires_at": "soon"})
    assert await found.find(SANDBOX) is None


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_while_redis_is_away_its_last_word_stands_for_a_while(
    server: RedisServer, clock: Clock, found: Placements, how: signal.Signals
) -> None:
    write(server, (placements.place, SANDBOX, HERE))
    assert await found.find(SANDBOX) == HERE
    os.kill(server.process.pid, how)
    clock.now += KEPT_SECONDS - 0.1
    assert await found.find(SANDBOX) == HERE
    with pytest.raises(PlacementsUnavailable):
        await found.find("sb-never-asked")
    clock.now += 0.2
    with pytest.raises(PlacementsUnavailable):
        await found.find(SANDBOX)
