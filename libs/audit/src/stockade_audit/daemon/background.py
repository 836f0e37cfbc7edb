"""What the daemon does while nobody asks. Each runs for ever; a failure of a part is said once and tried again."""

import asyncio
import time

from stockade_rpckit import threads
from stockade_rpckit.logs import get_logger

from stockade_audit import Action, Entry, Journal, RecordUnavailable
from stockade_audit.daemon.domain.ports import Spans
from stockade_audit.daemon.heading import HeadKeeper
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.daemon.tailing import Tails
from stockade_audit.errors import AuditError

log = get_logger(__name__)

IDLE_S = 0.1
HEAD_S = 1.0
PRUNE_S = 600.0


async def index_journals(indexer: Indexer, tails: Tails, journal: Journal) -> None:
    """Index what comes, and hand it to those who follow."""
    while True:
        arrived = await threads.run(indexer.poll)
        tails.publish(arrived)
        for slot, problem in indexer.take_problems():
            await alert(journal, "JOURNAL_DAMAGED", slot, problem)
        if not arrived:
            await asyncio.sleep(IDLE_S)


async def sign_heads(keeper: HeadKeeper, journal: Journal) -> None:
    """A head a second, handed to the witness; an alert when that begins to fail."""
    await threads.run(keeper.resume)
    failing = ""
    while True:
        started = time.monotonic()
        try:
            await threads.run(keeper.sign)
            await threads.run(keeper.hand_over)
            failing = ""
        except (AuditError, OSError) as error:
            if str(error) != failing:
                failing = str(error)
                await alert(journal, "HEAD_NOT_WITNESSED", "witness", failing)
        await asyncio.sleep(max(0.0, started + HEAD_S - time.monotonic()))


async def prune_spans(spans: Spans, days: float, limit: int) -> None:
    """Keep the span store within its bounds."""
    while True:
        before_ns = time.time_ns() - int(days * 86_400 * 1e9)
        await threads.run(spans.prune, before_ns, limit)
        await asyncio.sleep(PRUNE_S)


async def alert(journal: Journal, reason: str, subject: str, detail: str) -> None:
    """Say it in the log and in the record."""
    log.error("alert", extra={"reason": reason, "subject": subject, "detail": detail})
    try:
        await journal.append(Entry(action=Action.ALERT, reason=reason, resource=subject, metadata={"detail": detail}))
    except RecordUnavailable as error:
        log.error("the alert could not be recorded", extra={"error": str(error)})
