"""Port `Store` on Redis; see the package for what stands where."""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby

from stockade_embedding_cache.adapters.redis import record
from stockade_embedding_cache.adapters.redis.connection import Command, RedisConnection, script
from stockade_embedding_cache.domain.entry import Batch, Entry, Quota, Size
from stockade_embedding_cache.domain.ports import Clock, Listed, Stored

PREFIX = "stockade:cache"
TAGS = range(16)
_LAYERS = f"{PREFIX}:layers"
_SWEEP = 500  # entries removed in one script: a millisecond of Redis' one thread
_PUT, _REMOVE = script("put"), script("remove")


class RedisStore:
    """Port `Store`. Several processes may share one Redis.

    Args:
        quota: most that one layer may hold; what expires next makes room.
        total: most that all layers together may hold; the largest layer gives way.
    """

    name = "redis"

    def __init__(self, connection: RedisConnection, *, total: Quota, quota: Quota, clock: Clock = time.time) -> None:
        self._redis, self.total, self.quota, self._clock = connection, total, quota, clock

    @property
    def degraded_since(self) -> float | None:
        return self._redis.degraded_since

    async def get(self, layer: str, keys: Sequence[bytes]) -> Batch:
        # One MGET for each tag in a cluster; elsewhere one in all.
        groups = [tagged for _, tagged in group(keys)] if self._redis.cluster else [list(dict.fromkeys(keys))]
        reads = [("MGET", *_values(layer, group)) for group in groups if group]
        # The epoch is read first: entries may be newer than it, never older.
        epoch, *replies = await self._redis.run([("GET", _epoch(layer)), *reads])
        values = zip(chain.from_iterable(groups), chain.from_iterable(replies), strict=True)
        found = {key: record.decode(key, value) for key, value in values if value is not None}
        damaged = [key for key, entry in found.items() if entry is None]
        if damaged:
            await self._remove(layer, damaged)
        now = self._clock()
        entries = [entry if (entry := found.get(key)) is not None and entry.expires > now else None for key in keys]
        return Batch(entries, int(epoch or 0), len(damaged))

    async def has(self, layer: str, keys: Sequence[bytes]) -> list[bool]:
        by_tag = group(keys)
        replies = await self._redis.run([("ZMSCORE", _index(layer, tag), *tagged) for tag, tagged in by_tag])
        now = self._clock()
        expiry = {
            key: float(score)
            for (_, tagged), scores in zip(by_tag, replies, strict=True)
            for key, score in zip(tagged, scores, strict=True)
            if score is not None
        }
        return [expiry.get(key, 0.0) > now for key in keys]

    async def put(self, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        largest = min(self.quota.bytes, self.total.bytes)
        refused = frozenset(key for key, entry in entries.items() if len(entry.data) > largest)
        by_tag = group([key for key in entries if key not in refused])
        puts = [self._put(layer, tag, {key: entries[key] for key in tagged}) for tag, tagged in by_tag]
        _, epoch, *_ = await self._redis.write([_begin(layer), ("GET", _epoch(layer)), *puts])
        return Stored(refused, await self._make_room(layer), int(epoch))

    async def delete(self, layer: str, keys: Sequence[bytes]) -> int:
        await self._advance(layer)
        removed = await self._remove(layer, keys)
        await self._advance(layer)
        return removed.entries

    async def clear(self, layer: str) -> int:
        # Before: a batch that is read meanwhile is of an old epoch. After: and so is one that was read in between.
        await self._advance(layer)
        count = (await self._sweep(layer, "soonest", _SWEEP)).entries
        await self._advance(layer)
        return count

    async def clear_writer(self, writer: str, layer: str = "") -> dict[str, int]:
        counts = {}
        for name in [layer] if layer else sorted(await self.sizes()):
            keys = [listed.key for tag in TAGS for listed in await self._tag(name, tag) if listed.writer == writer]
            if keys:
                counts[name] = await self.delete(name, keys)
        return counts

    async def epoch(self, layer: str) -> int:
        (epoch,) = await self._redis.run([("GET", _epoch(layer))])
        return int(epoch or 0)

    async def page(self, layer: str, *, after: bytes = b"", limit: int, writer: str = "") -> Sequence[Listed]:
        now, found = self._clock(), list[Listed]()
        for tag in TAGS[after[0] >> 4 if after else 0 :]:
            found += sorted(
                listed
                for listed in await self._tag(layer, tag)
                if listed.key > after and listed.expires > now and writer in ("", listed.writer)
            )
            if len(found) >= limit:
                break
        return found[:limit]

    async def size(self, layer: str) -> Size:
        await self._prune(layer)
        return await self._measure(layer)

    async def sizes(self) -> dict[str, Size]:
        (fields,) = await self._redis.run([("HGETALL", _LAYERS)])
        sizes = {name.decode(): Size(*map(int, size.split())) for name, size in _pairs(fields)}
        return {name: size for name, size in sizes.items() if size.entries}

    async def prune(self) -> Size:
        pruned = Size()
        for layer in await self.sizes():
            pruned += await self._prune(layer)
            await self._measure(layer)
        return pruned

    async def close(self) -> None:
        await self._redis.close()

    def _put(self, layer: str, tag: int, entries: Mapping[bytes, Entry]) -> Command:
        now, arguments = self._clock(), list[bytes | int | str]()
        for key, entry in entries.items():
            head, value = record.encode(key, entry)
            life_ms = max(1, int((entry.expires - now) * 1000))
            arguments += [key, repr(entry.expires), life_ms, len(entry.data), head, value]
        keys = [*_beside(layer, tag), *_values(layer, entries)]
        return ("EVAL", _PUT, len(keys), *keys, *arguments)

    async def _make_room(self, layer: str) -> int:
        """Evict until the layer, and then all of them, keep to their quotas; returns how many entries went."""
        evicted = 0
        while surplus := self.quota.surplus(await self._measure(layer)):
            evicted += await self._evict(layer, surplus)
        while surplus := self.total.surplus(sum((sizes := await self.sizes()).values(), Size())):
            largest = max(sizes, key=lambda name: sizes[name].bytes)
            evicted += await self._evict(largest, surplus)
            await self._measure(largest)
        return evicted

    async def _evict(self, layer: str, surplus: int) -> int:
        """Remove about `surplus` entries, those that expire first, from the fullest tags."""
        counts = await self._redis.run([("ZCARD", _index(layer, tag)) for tag in TAGS])
        fullest = max(TAGS, key=lambda tag: counts[tag])
        share = max(1, min(surplus, counts[fullest] // 4))
        (removed,) = await self._redis.write([_removal(layer, fullest, "soonest", share)])
        return int(removed[0])

    async def _measure(self, layer: str) -> Size:
        """The layer's size, which is noted for all to see."""
        counts = [("ZCARD", _index(layer, tag)) for tag in TAGS]
        sums = [("GET", _beside(layer, tag)[2]) for tag in TAGS]
        replies = await self._redis.run([*counts, *sums])
        size = Size(sum(replies[:16]), sum(int(reply or 0) for reply in replies[16:]))
        await self._redis.write([("HSET", _LAYERS, layer, f"{size.entries} {size.bytes}")])
        return size

    async def _tag(self, layer: str, tag: int) -> list[Listed]:
        (fields,) = await self._redis.run([("HGETALL", _beside(layer, tag)[1])])
        return [record.decode_head(key, head) for key, head in _pairs(fields)]

    async def _remove(self, layer: str, keys: Sequence[bytes]) -> Size:
        removals = [_removal(layer, tag, "these", *tagged) for tag, tagged in group(keys)]
        removed = _sum(await self._redis.write(removals))
        await self._measure(layer)
        return removed

    async def _prune(self, layer: str) -> Size:
        return await self._sweep(layer, "expired", repr(self._clock()), _SWEEP)

    async def _sweep(self, layer: str, *which: object) -> Size:
        """Remove all that `which` says, in strokes that do not hold Redis up."""
        swept = Size()
        while (stroke := _sum(await self._redis.write([_removal(layer, tag, *which) for tag in TAGS]))).entries:
            swept += stroke
        if swept.entries:
            await self._measure(layer)
        return swept

    async def _advance(self, layer: str) -> None:
        await self._redis.write([_begin(layer), ("INCR", _epoch(layer))])


def group(keys: Iterable[bytes]) -> list[tuple[int, list[bytes]]]:
    """Keys, each once, by their first nibble."""
    return [(tag, list(tagged)) for tag, tagged in groupby(sorted(set(keys)), key=lambda key: key[0] >> 4)]


def tag_name(layer: str, tag: int) -> bytes:
    """What the names of all that a tag holds begin with."""
    return f"{PREFIX}:{{{layer}:{tag:x}}}".encode()


def _values(layer: str, keys: Iterable[bytes]) -> list[bytes]:
    """The names of the keys' values."""
    prefixes = [tag_name(layer, tag) + b"=" for tag in TAGS]
    return [prefixes[key[0] >> 4] + key for key in keys]


def _index(layer: str, tag: int) -> bytes:
    return tag_name(layer, tag) + b"#index"


def _beside(layer: str, tag: int) -> tuple[bytes, bytes, bytes]:
    hashed = tag_name(layer, tag)
    return hashed + b"#index", hashed + b"#heads", hashed + b"#bytes"


def _epoch(layer: str) -> str:
    return f"{PREFIX}:{{{layer}}}#epoch"


def _begin(layer: str) -> Command:
    """Gives a layer its first epoch: from the clock, so that one that was lost is not begun again."""
    return ("SET", _epoch(layer), time.time_ns(), "NX")


def _removal(layer: str, tag: int, *which: object) -> Command:
    return ("EVAL", _REMOVE, 3, *_beside(layer, tag), tag_name(layer, tag) + b"=", *which)


def _sum(removed: Iterable[Sequence[int]]) -> Size:
    return sum((Size(*counts) for counts in removed), Size())


def _pairs(fields: Mapping[bytes, bytes] | Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """The fields of a hash, whichever way this version of the client gives them."""
    if isinstance(fields, Mapping):
        return fields.items()
    return zip(fields[::2], fields[1::2], strict=True)
