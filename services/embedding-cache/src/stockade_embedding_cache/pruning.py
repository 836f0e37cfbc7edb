"""The schedule that removes what has expired."""

import asyncio

from stockade_audit import Action, Entry, Journal, RecordUnavailable
from stockade_rpckit.logs import get_logger

from stockade_embedding_cache.domain.cache import Cache
from stockade_embedding_cache.domain.ports import StoreUnavailable

log = get_logger(__name__)


async def prune_for_ever(cache: Cache, journal: Journal, interval_s: float) -> None:
    """Prune every `interval_s` seconds; a run that removed something is logged and recorded."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await _prune(cache, journal)
        except (StoreUnavailable, RecordUnavailable) as error:
            log.warning("pruning is not done, or not recorded", extra={"error": str(error)})


async def _prune(cache: Cache, journal: Journal) -> None:
    pruned = await cache.prune()
    if pruned.entries:
        counts = {"pruned": pruned.entries, "bytes": pruned.bytes}
        log.info("pruned", extra=counts)
        await journal.append(Entry(action=Action.CACHE_CLEARED, reason="expired", metadata=dict(counts)))
