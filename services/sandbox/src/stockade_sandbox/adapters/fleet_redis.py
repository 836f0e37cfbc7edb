"""The fleet in one Redis: each operation is one Lua script, timed by Redis itself, and one round trip.

stockade:{fleet}:members     hash   node → incarnation, of those that are one of the fleet
stockade:{fleet}:nodes       hash   node → what it says of itself
stockade:{fleet}:beats       zset   node by its last beat, in milliseconds
stockade:{fleet}:orders      hash   node → what it is told
stockade:{fleet}:sandboxes   hash   sandbox → its public document
stockade:{fleet}:listing     zset   all of them in the order of lists; agent:<agent> those of one agent
stockade:{fleet}:ended       zset   those that ended, by when
stockade:{fleet}:owner:<o>   set    an owner's living ones: its quota; node:<node> those of a node
stockade:{fleet}:request:…   hash   which sandbox a request has made, for a day
stockade:placement:<sandbox>        whom a node may speak for: see `stockade_rpckit.placements`
stockade:node:<node>                its incarnation, for as long as it beats
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from stockade_rpckit import placements

from stockade_sandbox.adapters.documents import document, node_of, order_of, plain, sandbox_of
from stockade_sandbox.domain.errors import (
    FleetUnavailable,
    FleetUnsuitable,
    NodeNameTaken,
    NotMember,
    QuotaExceeded,
    RequestIdReused,
)
from stockade_sandbox.domain.node import Heard, Node, Order
from stockade_sandbox.domain.placement import REQUEST_SECONDS, SETTLE_SECONDS, SILENT_SECONDS, buried, given_up, told
from stockade_sandbox.domain.ports import Claim
from stockade_sandbox.domain.sandbox import Sandbox, listing_key

ANSWER_SECONDS = 1.0
HEARTBEAT_SECONDS = 6
_CONNECTIONS = 8
_BATCH = 100  # documents in one script: a few milliseconds of Redis' one thread
_PRUNED = 500
_KEY = "stockade:{fleet}:"
_SILENT_MS = int(SILENT_SECONDS * 1000)
_REFUSED = (AuthenticationError, NoPermissionError)
_SCRIPTS = Path(__file__).with_name("lua")


class RedisFleet:
    """See `domain.ports.Fleet`. Connects when first used, so that Redis may come later."""

    def __init__(self, url: str, answer_s: float = ANSWER_SECONDS) -> None:
        """`url`: redis://, rediss:// or unix://. Raises ValueError for another."""
        self._answer_s = answer_s
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=answer_s,
            socket_timeout=answer_s,
            socket_connect_timeout=answer_s,
            retry=Retry(NoBackoff(), 0),  # the client's own retries make seconds of it
            decode_responses=True,
            protocol=2,
        )
        self._redis = Redis.from_pool(pool)

    async def join(self, node: Node, returning: bool) -> None:
        """See `Fleet.join`."""
        await self._held_suitable()
        settle_ms = int(SETTLE_SECONDS * 1000)
        told_of = (node.place, plain(node), int(returning), _SILENT_MS, settle_ms)
        verdict, *host = await self._run("join", node.name, node.incarnation, *told_of)
        if verdict == "TAKEN":
            raise NodeNameTaken(node.name, host[0])

    async def beat(self, node: Node) -> Heard:
        """See `Fleet.beat`."""

        def heartbeat(pipeline: Any) -> None:
            pipeline.set(f"stockade:node:{node.name}", node.incarnation, ex=HEARTBEAT_SECONDS)

        arguments = (node.name, node.incarnation, plain(node), node.obeyed, _SILENT_MS)
        _, order, placed, *silent = _held(node, await self._run("beat", *arguments, beside=heartbeat))
        beats = dict(zip(silent[::2], silent[1::2], strict=True))
        return Heard(order_of(order) if order else None, int(placed), beats)

    async def leave(self, node: Node, patience: float) -> None:
        """See `Fleet.leave`."""
        _held(node, await self._run("leave", node.name, node.incarnation, int(patience * 1000)))

    async def nodes(self) -> list[Node]:
        """See `Fleet.nodes`."""
        found = [node_of(text) for text in await self._answered(lambda: self._redis.hvals(f"{_KEY}nodes"))]
        kept = told(found, time.time())
        if forgotten := {node.name for node in found} - {node.name for node in kept}:
            await self._answered(lambda: self._redis.hdel(f"{_KEY}nodes", *forgotten))
        return kept

    async def node(self, name: str) -> Node | None:
        """See `Fleet.node`."""
        found = await self._answered(lambda: self._redis.hget(f"{_KEY}nodes", name))
        return node_of(found) if found else None

    async def order(self, name: str, order: Order) -> None:
        """See `Fleet.order`."""
        await self._answered(lambda: self._redis.hset(f"{_KEY}orders", name, plain(order)))

    async def claim(self, node: Node, claim: Claim) -> Sandbox | None:
        """See `Fleet.claim`."""
        sandbox = claim.sandbox
        request = f"request:{sandbox.owner}:{claim.request_id}" if claim.request_id else ""
        abandoned = (await self.find([claim.instead_of])).get(claim.instead_of) if claim.instead_of else None
        verdict, *made = _held(
            node,
            await self._run(
                "claim",
                node.name,
                node.incarnation,
                _document(sandbox),
                claim.quota,
                request,
                claim.digest,
                int(REQUEST_SECONDS),
                claim.instead_of if abandoned else "",
                _document(given_up(abandoned, time.time())) if abandoned else "",
                beside=partial(_place, sandboxes=[sandbox]),
            ),
        )
        if verdict == "OK":
            return None
        await self._answered(lambda: self._redis.delete(placements.key(sandbox.name)))
        if verdict == "MADE":
            return sandbox_of(made[0])
        raise _refusal(verdict, claim)

    async def publish(self, node: Node, sandboxes: Sequence[Sandbox]) -> set[str]:
        """See `Fleet.publish`."""
        refused: set[str] = set()
        for batch in _batched(sandboxes):
            arguments = (node.name, node.incarnation, *map(_document, batch))
            answer = await self._run("publish", *arguments, beside=partial(_place, sandboxes=batch))
            refused.update(_held(node, answer)[1:])
        if refused:
            await self._answered(lambda: self._redis.delete(*map(placements.key, refused)))
        return refused

    async def find(self, names: Sequence[str]) -> Mapping[str, Sandbox]:
        """See `Fleet.find`."""
        found: dict[str, Sandbox] = {}
        for batch in _batched(names):
            texts = await self._answered(partial(self._redis.hmget, f"{_KEY}sandboxes", list(batch)))
            found |= {name: sandbox_of(text) for name, text in zip(batch, texts, strict=True) if text}
        return found

    async def page(self, agent: str, after: str, size: int) -> list[Sandbox]:
        """See `Fleet.page`."""
        listing = f"{_KEY}agent:{agent}" if agent else f"{_KEY}listing"
        start = f"({after}" if after else "-"
        keys = await self._answered(lambda: self._redis.zrangebylex(listing, start, "+", 0, size))
        return list((await self.find([key.rpartition(":")[2] for key in keys])).values())

    async def placed(self, name: str) -> list[Sandbox]:
        """See `Fleet.placed`."""
        names = await self._answered(lambda: self._redis.smembers(f"{_KEY}node:{name}"))
        return list((await self.find(sorted(names))).values())

    async def lose(self, name: str, beat: str, sandboxes: Sequence[Sandbox]) -> set[str]:
        """See `Fleet.lose`."""
        node = await self.node(name)
        if node is None:
            return set()
        last = plain(buried(node))
        gone: set[str] = set()
        for batch in _batched(sandboxes) or [()]:
            gone.update(await self._run("lose", name, beat, last, *map(_document, batch)))
        if gone:
            await self._answered(lambda: self._redis.delete(*map(placements.key, gone)))
        return gone

    async def prune(self, ended_before: float) -> None:
        """See `Fleet.prune`."""
        await self._run("prune", ended_before, _PRUNED)

    async def close(self) -> None:
        """See `Fleet.close`."""
        await self._redis.aclose()

    async def _held_suitable(self) -> None:
        """Raises FleetUnsuitable for a Redis that may forget by itself what nodes and quotas hang on."""
        memory = await self._answered(lambda: self._redis.info("memory"))
        policy = memory.get("maxmemory_policy", "noeviction")
        if memory.get("maxmemory") and policy != "noeviction":
            raise FleetUnsuitable(
                f"the Redis of STOCKADE_SANDBOX_REGISTRY_URL evicts ({policy}) and would forget sandboxes; "
                "set its maxmemory-policy to noeviction, or give the registry a Redis of its own"
            )

    async def _run(self, script: str, *arguments: Any, beside: Callable[[Any], None] | None = None) -> list[str]:
        """The script's answer; what `beside` queues runs in the same transaction."""

        async def run() -> list[str]:
            pipeline = self._redis.pipeline(transaction=beside is not None)
            pipeline.eval(_source(script), 1, f"{_KEY}members", *arguments)
            if beside:
                beside(pipeline)
            answer: list[str] = (await pipeline.execute())[0]
            return answer

        return list(await self._answered(run))

    async def _answered(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """A call that is cut off is cancelled, and with it its connection, whose answer must not be another's."""
        try:
            async with asyncio.timeout(self._answer_s):
                return await call()
        except (RedisError, OSError) as error:
            if isinstance(error, _REFUSED) or isinstance(error.__cause__, _REFUSED):  # the latter while connecting
                raise FleetUnsuitable(
                    f"the Redis of STOCKADE_SANDBOX_REGISTRY_URL does not let this node in ({error}); correct the name "
                    "or password in it"
                ) from error
            raise FleetUnavailable(f"{error}" or type(error).__name__) from error


def _held(node: Node, answer: list[str]) -> list[str]:
    if answer[0] == "NOT_MEMBER":
        raise NotMember(node.name)
    return answer


def _refusal(verdict: str, claim: Claim) -> Exception:
    if verdict == "QUOTA":
        return QuotaExceeded(claim.sandbox.owner, claim.quota)
    if verdict == "REUSED":
        return RequestIdReused(claim.request_id)
    return FleetUnavailable("it lost everything and is being told again")


def _document(sandbox: Sandbox) -> str:
    return document(sandbox, listing_key=listing_key(sandbox))


def _place(pipeline: Any, sandboxes: Sequence[Sandbox]) -> None:
    """Queue the placements of those that live, and the end of the others'."""
    for each in sandboxes:
        if each.ended_at:
            placements.remove(pipeline, each.name)
        else:
            at = int(each.expires_at)
            placements.place(
                pipeline, each.name, placements.Placement(each.node, each.agent, each.agent_type, each.owner, at)
            )


def _batched(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[at : at + _BATCH] for at in range(0, len(items), _BATCH)]


@cache
def _source(name: str) -> str:
    return "\n".join((_SCRIPTS / f"{part}.lua").read_text(encoding="utf-8") for part in ("fleet", name))
