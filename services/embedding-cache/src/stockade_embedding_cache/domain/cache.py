"""The cache: whose layer is asked, what may be stored, and how long it lives."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from stockade_embedding_cache.domain import layer as layers
from stockade_embedding_cache.domain.entry import Batch, Entry, Lifetime, Size
from stockade_embedding_cache.domain.layer import Caller
from stockade_embedding_cache.domain.ports import Listed, Store
from stockade_embedding_cache.domain.stats import Stats
from stockade_embedding_cache.domain.vector import Format, RowFault, Rows, find_faults


class VectorInvalid(ValueError):
    """A single vector that may not be stored."""

    def __init__(self, fault: RowFault) -> None:
        super().__init__(f"the vector is refused: {EXPLANATIONS[fault]}")
        self.fault = fault


EXPLANATIONS = {
    RowFault.NAN: "it holds NaN; mend the model's output",
    RowFault.INFINITE: "it holds an infinite number; mend the model's output",
    RowFault.ZERO: "all its numbers are zero, so it has no direction; do not embed empty text",
    RowFault.SIZE: "its bytes are not those of its format; check dimensions and dtype",
    RowFault.FORMAT: "it is stored with another format than asked for; check dimensions and dtype of the key",
    RowFault.QUOTA: "it is larger than its layer may be",
    RowFault.NOT_FOUND: "there is no such entry to copy",
}


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a batch found: a place for each row, faults by row, and the epochs of the layers that were asked.

    `near` counts the rows that were in memory.
    """

    entries: Sequence[Entry | None]
    origins: Sequence[str]
    faults: Mapping[int, RowFault]
    epochs: Mapping[str, int]
    near: int

    @property
    def hits(self) -> list[bytes]:
        """The found rows' packed vectors, in row order."""
        return [entry.data for entry in self.entries if entry is not None]

    @property
    def missing(self) -> list[bool]:
        """The rows that are neither found nor at fault."""
        return [entry is None and i not in self.faults for i, entry in enumerate(self.entries)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch of puts: a bit and perhaps a fault for each row, and the written layer's epoch."""

    stored: Sequence[bool]
    faults: Mapping[int, RowFault]
    layer: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Cache:
    """Reading and writing, on a store and a lifetime.

    `publishers` are patterns of callers that may write shared layers.
    """

    store: Store
    lifetime: Lifetime
    publishers: Collection[str] = ("operator/*", "service/*")
    stats: Stats = field(default_factory=lambda: Stats(0.0))

    async def get(self, caller: Caller, named: str, keys: Sequence[bytes], fmt: Format | None = None) -> Lookup:
        """Look `keys` up, the private layer first. A hit of another format than `fmt` is a fault, not a hit."""
        found = await self.look_up(layers.readable(caller, named), keys, fmt)
        self.stats.count_found(found.entries, found.near)
        return found

    async def has(self, caller: Caller, named: str, keys: Sequence[bytes]) -> tuple[list[bool], dict[str, int]]:
        """Which keys are stored in one of the caller's layers, and these layers' epochs."""
        present, epochs = [False] * len(keys), {}
        for layer in layers.readable(caller, named):
            found = await self.store.has(layer, keys)
            present = [a or b for a, b in zip(present, found, strict=True)]
            epochs[layer] = await self.store.epoch(layer)
        return present, epochs

    async def put(self, caller: Caller, named: str, keys: Sequence[bytes], rows: Rows, ttl_s: float | None) -> Outcome:
        """Store sound rows in the caller's private layer."""
        return await self._store_rows(layers.writable(caller, named), str(caller), keys, rows, ttl_s)

    async def put_one(
        self, caller: Caller, named: str, key: bytes, rows: Rows, ttl_s: float | None
    ) -> tuple[Entry, Outcome]:
        """Store one vector, or raise VectorInvalid. Returns the entry as it is kept."""
        layer = layers.writable(caller, named)
        faults = find_faults(rows.format, [rows.blob])
        if faults:
            self.stats.refused_rows += 1
            raise VectorInvalid(faults[0])
        entry = self._entry(rows.format, rows.blob, str(caller), ttl_s)
        outcome = await self._store_entries(layer, [key], {0: entry}, {})
        if outcome.faults:
            raise VectorInvalid(outcome.faults[0])
        return entry, outcome

    async def publish(
        self, caller: Caller, named: str, keys: Sequence[bytes], rows: Rows, ttl_s: float | None
    ) -> Outcome:
        """Store sound rows in a shared layer; the caller is their writer."""
        layer = layers.publishable(caller, named, self.publishers)
        return await self._store_rows(layer, str(caller), keys, rows, ttl_s)

    async def promote(
        self, caller: Caller, named: str, source: str, keys: Sequence[bytes], ttl_s: float | None
    ) -> Outcome:
        """Copy entries of a private layer to a shared one; they keep their writer."""
        layer = layers.publishable(caller, named, self.publishers)
        batch = await self.store.get(layers.writable(caller, source), keys)
        copies = {
            i: self._entry(entry.format, entry.data, entry.writer, ttl_s)
            for i, entry in enumerate(batch.entries)
            if entry is not None
        }
        faults = {i: RowFault.NOT_FOUND for i in range(len(keys)) if i not in copies}
        return await self._store_entries(layer, keys, copies, faults)

    async def delete(self, caller: Caller, named: str, keys: Sequence[bytes]) -> tuple[int, str]:
        """Remove keys from one layer: how many there were, and the layer."""
        layer = layers.owned(caller, named)
        return await self.store.delete(layer, keys), layer

    async def clear(self, caller: Caller, named: str) -> tuple[int, str]:
        """Remove all of one layer: how many entries, and the layer."""
        layer = layers.owned(caller, named)
        return await self.store.clear(layer), layer

    async def clear_writer(self, caller: Caller, writer: str, named: str) -> dict[str, int]:
        """Remove a writer's entries from one layer, or from all: counts by layer."""
        return await self.store.clear_writer(writer, layers.owned(caller, named) if named else "")

    async def list_keys(
        self, caller: Caller, named: str, after: bytes, limit: int, writer: str
    ) -> tuple[Sequence[Listed], str]:
        """A page of one layer's entries, and the layer."""
        layer = layers.readable(caller, named)[0]
        return await self.store.page(layer, after=after, limit=limit, writer=writer), layer

    async def size(self, caller: Caller, named: str) -> tuple[Size, str]:
        """One layer's size, and the layer."""
        layer = layers.readable(caller, named)[0]
        return await self.store.size(layer), layer

    async def prune(self) -> Size:
        """Remove what has expired, in all layers."""
        pruned = await self.store.prune()
        self.stats.pruned += pruned.entries
        return pruned

    async def look_up(self, sources: Sequence[str], keys: Sequence[bytes], fmt: Format | None) -> Lookup:
        """Find `keys` in the first of `sources` that has each; where all is found, the next are not asked.

        Counts damage, and nothing else.
        """
        first, *others = sources
        batch = await self._ask(first, keys)
        entries, origins, epochs, near = list(batch.entries), [first] * len(keys), {first: batch.epoch}, batch.near
        for layer in others:
            missing = [i for i, entry in enumerate(entries) if entry is None]
            if not missing:
                break
            batch = await self._ask(layer, [keys[i] for i in missing])
            epochs[layer], near = batch.epoch, near + batch.near
            for i, entry in zip(missing, batch.entries, strict=True):
                entries[i], origins[i] = entry, layer
        faults = _other_formats(entries, fmt)
        for i in faults:
            entries[i] = None
        return Lookup(entries, origins, faults, epochs, near)

    async def _ask(self, layer: str, keys: Sequence[bytes]) -> Batch:
        batch = await self.store.get(layer, keys)
        self.stats.damaged += batch.damaged
        return batch

    async def _store_rows(
        self, layer: str, writer: str, keys: Sequence[bytes], rows: Rows, ttl_s: float | None
    ) -> Outcome:
        blobs = rows.split(len(keys))
        faults = find_faults(rows.format, blobs)
        entries = {i: self._entry(rows.format, blob, writer, ttl_s) for i, blob in enumerate(blobs) if i not in faults}
        return await self._store_entries(layer, keys, entries, faults)

    async def _store_entries(
        self, layer: str, keys: Sequence[bytes], entries: Mapping[int, Entry], faults: Mapping[int, RowFault]
    ) -> Outcome:
        stored = await self.store.put(layer, {keys[i]: entry for i, entry in entries.items()})
        faults = {**faults, **{i: RowFault.QUOTA for i in entries if keys[i] in stored.refused}}
        bits = [i in entries and i not in faults for i in range(len(keys))]
        self.stats.puts += sum(bits)
        self.stats.refused_rows += len(faults)
        self.stats.evictions += stored.evicted
        return Outcome(bits, faults, layer, stored.epoch)

    def _entry(self, fmt: Format, data: bytes, writer: str, ttl_s: float | None) -> Entry:
        return Entry(fmt, data, writer, self.lifetime.clock(), self.lifetime.expiry(ttl_s))


def _other_formats(entries: Sequence[Entry | None], fmt: Format | None) -> dict[int, RowFault]:
    if fmt is None:
        return {}
    return {
        i: RowFault.FORMAT
        for i, entry in enumerate(entries)
        if entry is not None and entry.format is not fmt and entry.format != fmt
    }
