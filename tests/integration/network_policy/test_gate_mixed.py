"""Requests of every kind at once through the real gate: as many decisions as requests, and one end for each."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from support.gate import needs_envoy, until
from support.proxy import Proxy, read_answer
from support.world import World, a_world

pytestmark = [pytest.mark.gate, needs_envoy]

CLIENTS = 32
Ask = Callable[[World, Proxy], Coroutine[Any, Any, object]]

# What is asked, by the action that its decision is recorded as; `codec` for what never comes to one.
KINDS: list[tuple[str, Ask]] = [
    ("ALLOWED", lambda world, door: door.get(f"http://ok.test:{world.plain.port}/")),
    ("ALLOWED", lambda world, door: door.get(f"http://ok.test:{world.plain.port}/", "x-stockade-lease: none.1")),
    ("ALLOWED", lambda world, door: door.get("http://nowhere.test/")),
    ("ALLOWED", lambda world, door: door.get(f"http://private.test:{world.private.port}/")),
    ("ALLOWED", lambda world, door: door.fetch(f"secure.test:{world.tls.port}", world.trust, "secure.test")),
    ("ALLOWED", lambda world, door: door.fetch(f"secure.test:{world.tls.port}", world.trust, "evil.test")),
    ("BLOCKED", lambda world, door: door.get("http://evil.test/")),
    ("BLOCKED", lambda world, door: door.get("http://0x7f.1/")),
    ("BLOCKED", lambda world, door: door.get("http://169.254.169.254/")),
    ("BLOCKED", lambda world, door: door.fetch("evil.test:443", world.trust, "evil.test")),
    ("BLOCKED", lambda world, door: door.get("https://ok.test/")),
    ("codec", lambda world, door: door.say(b"GET http:// ok.test/ HTTP/1.1\r\nHost: x\r\n\r\n")),
]


@pytest.mark.parametrize("count", [1_200, pytest.param(12_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
async def test_as_many_decisions_as_requests_and_one_end_for_each(tmp_path: Path, count: int) -> None:
    caps = {"requests_per_second": 1_000_000, "connections_per_second": 1_000_000, "connections": 1_000_000}
    patience = {"judge_milliseconds": 20_000}  # the judge is in this process, with all clients and origins
    async with a_world(tmp_path, **caps, **patience) as world:
        work = iter(list(itertools.islice(itertools.cycle(KINDS), count)))

        async def client() -> None:
            for _, ask in work:
                await ask(world, world.door)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        each = count // len(KINDS)
        wanted = Counter(kind for kind, _ in KINDS)
        await until(lambda: ends(world).total() == wanted["ALLOWED"] * each, 20, "an end for each allowed request")
        codec = wanted.pop("codec") * each
        await until(lambda: decisions(world)["codec"] >= codec, 20, "what the codec refused, counted once a second")
        decided = decisions(world)
        assert decided.pop("codec") == codec
        assert decided == {kind: number * each for kind, number in wanted.items()}
        assert set(ends(world).values()) == {1}
        assert world.private.untouched()


async def test_what_the_judge_decides_too_late_is_no_fault_of_the_request(tmp_path: Path) -> None:
    async with a_world(tmp_path, judge_milliseconds=300) as world:
        reader, writer = await asyncio.open_unix_connection(str(world.door.socket))
        writer.write(b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n")
        time.sleep(1)  # noqa: ASYNC251 - the judge is on this loop, and sees the question when nobody waits any more
        assert (await read_answer(reader)).status == 503
        writer.close()
        counted = await world.gate.entry(action="BLOCKED", rule="unanswered")
        assert (counted["sandbox"], counted["status"], counted["metadata"]["count"]) == ("sb-one", 503, 1)
        assert decisions(world) == {"BLOCKED": 1}


def decisions(world: World) -> Counter[str]:
    """How many decisions were recorded of each kind, and how many requests the codec refused."""
    found: Counter[str] = Counter()
    for entry in world.gate.entries(sandbox="sb-one"):
        if entry.get("rule") == "codec":
            found["codec"] += entry["metadata"]["count"]
        elif entry.get("rule") == "unanswered":
            continue  # its decision stands by itself
        elif "intent_id" not in entry and entry["action"] in ("ALLOWED", "BLOCKED", "RATE_LIMITED"):
            found[entry["action"]] += 1
    return found


def ends(world: World) -> Counter[str]:
    """How many ends each decision has."""
    ended = ("OUTCOME", "BLOCKED", "OUTCOME_UNKNOWN")
    entries = world.gate.entries(sandbox="sb-one")
    return Counter(entry["intent_id"] for entry in entries if entry["action"] in ended and "intent_id" in entry)
