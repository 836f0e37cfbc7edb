"""What the daemon does while nobody asks. Each runs for ever; a failure of a part is said once and tried again."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from stockade_rpckit import threads
from stockade_rpckit.folds import Folds
from stockade_rpckit.logs import get_logger

from stockade_audit import Action, Entry, Journal, RecordUnavailable
from stockade_audit.daemon.domain.claims import Claims
from stockade_audit.daemon.domain.errors import CopyUnavailable
from stockade_audit.daemon.domain.finding import OF_AGENTS, Raised, Rules
from stockade_audit.daemon.domain.ports import Spans
from stockade_audit.daemon.erasing import Eraser, Forgotten
from stockade_audit.daemon.findings import Findings, judge
from stockade_audit.daemon.fleet_keeper import FleetKeeper
from stockade_audit.daemon.heading import HeadKeeper
from stockade_audit.daemon.indexing import Arrived, Indexer
from stockade_audit.daemon.shipping import Shipper
from stockade_audit.daemon.tailing import Tails
from stockade_audit.entry import parse_time
from stockade_audit.head import HeadRefused
from stockade_audit.keystore import KeptKey

log = get_logger(__name__)

REST_S = 0.1
"""What comes within this is indexed together: a look at all journals, and a transaction for each, is 4 ms of a core."""
MANY = 1000
"""Found so many entries, it looks again at once: more are there already."""
RETRY_S = 1.0
HEAD_S = 1.0
FLEET_S = 5.0
PRUNE_S = 600.0
ERASED_S = 60.0
RETENTION_S = 3600.0
LAG_NS = 10_000_000_000
LAG_S = 10.0
DIFFERS = "VERIFICATION_FAILED"


async def index_journals(
    indexer: Indexer, tails: Tails, findings: Findings, came: asyncio.Event, indexed: asyncio.Event
) -> None:
    """Index what comes, hand it to those who follow, and raise what the rules find in it.

    `came` is set by whoever knows that something has come, to have it looked at before its turn; `indexed` is set when
    something was.
    """
    rules, caught_up, behind = Rules(), False, False
    while True:
        try:
            arrived = await threads.run(indexer.poll)
        except Exception:
            log.exception("the journals cannot be followed; tried again")
            await asyncio.sleep(RETRY_S)
            continue
        indexer.lag_s = max(0, _lag_ns(arrived)) / 1e9
        if arrived:
            indexed.set()
        tails.publish(arrived)
        for raised in judge(rules, arrived, time.time_ns()):
            await alert(findings, raised)
        for problem in indexer.take_problems():
            await alert(findings, Raised(*problem))
        if caught_up and not behind and (lag := _lag_ns(arrived)) > LAG_NS:
            behind = True
            await alert(findings, Raised("SINK_LAG", "index", f"the index is {lag / 1e9:.0f} s behind"))
        if not arrived:
            caught_up, behind = True, False
        if sum(len(batch.entries) for batch in arrived) < MANY:
            await wait_for(came, REST_S)


async def sign_heads(keeper: HeadKeeper, findings: Findings) -> None:
    """A head a second, handed to the witness; a finding when that begins to fail."""
    resumed = False
    while True:
        started = time.monotonic()
        try:
            if not resumed:
                await threads.run(keeper.resume)
                resumed = True
            await threads.run(keeper.sign)
            await threads.run(keeper.hand_over)
            keeper.problem = ""
        except Exception as error:
            if str(error) != keeper.problem:
                keeper.problem = str(error)
                kind = "VERIFICATION_FAILED" if isinstance(error, HeadRefused) else "WITNESS_UNREACHABLE"
                await alert(findings, Raised(kind, "witness", keeper.problem))
        await asyncio.sleep(max(0.0, started + HEAD_S - time.monotonic()))


async def sign_fleet(keeper: FleetKeeper, findings: Findings) -> None:
    """The fleet's head every few seconds; a finding for each node that something begins to be the matter with."""
    told = set[str]()
    while True:
        started = time.monotonic()
        try:
            await threads.run(keeper.sign)
            while keeper.joined:
                node = keeper.joined[0]
                joined = Entry(action=Action.CALLED, method="fleet", reason="NODE_JOINED", resource=node)
                await findings.journal.append(joined)
                keeper.joined.remove(node)
            keeper.problem, raised = "", []
        except Exception as error:
            keeper.problem = str(error)
            raised = [Raised("SINK_LAG" if isinstance(error, CopyUnavailable) else DIFFERS, "fleet", keeper.problem)]
        raised += [Raised(DIFFERS, node, why) for node, why in keeper.wrong.items()]
        for finding in raised:
            if finding.subject not in told:
                await alert(findings, finding)
        told = {finding.subject for finding in raised}
        await asyncio.sleep(max(0.0, started + FLEET_S - time.monotonic()))


async def ship_journals(shipper: Shipper, tell: Callable[[Mapping[str, int]], None], indexed: asyncio.Event) -> None:
    """Ship what is indexed and `tell` how far each journal is copied. What goes wrong is for `watch_copy` to say."""
    while True:
        try:
            shipped = await threads.run(shipper.ship)
            shipper.problem = ""
        except Exception as error:
            shipper.problem = str(error)
            await asyncio.sleep(RETRY_S)
            continue
        tell(shipper.sizes)
        if not shipped:
            await wait_for(indexed, RETRY_S)


async def watch_copy(shipper: Shipper, findings: Findings) -> None:
    """Raise a finding when the copy falls behind, even while it does not answer, and for what it does not take."""
    told, late = set[str](), False
    while True:
        await asyncio.sleep(RETRY_S)
        for slot, why in shipper.refused.items():
            if slot not in told:
                told.add(slot)
                await alert(findings, Raised("VERIFICATION_FAILED", slot, why))
        lag_s = shipper.watch(time.monotonic())
        if lag_s > LAG_S and not late:
            why = shipper.problem or "it takes entries slower than they come"
            await alert(findings, Raised("SINK_LAG", "copy", f"the copy is {shipper.behind()} entries behind: {why}"))
        late = lag_s > LAG_S


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, which clears it, or so long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    event.clear()


async def fold_claims(claims: Claims, journal: Journal) -> None:
    """Write once a second how many claims of which agent were refused."""
    folds = Folds(journal)

    async def count_refused() -> None:
        for agent, count in claims.take_refused().items():
            folds.add({"action": Action.FOLDED, "reason": "CLAIMS_TOO_FAST", "agent": agent}, count)

    await folds.run(count_refused)


async def keep_erased(eraser: Eraser, journal: Journal, resumed: Forgotten) -> None:
    """Record what was erased again at the start, and erase again whenever a backup is put back."""
    while True:
        try:
            if resumed.keys or resumed.rows:
                told: dict[str, str | int] = {"keys": resumed.keys, "rows": resumed.rows}
                await journal.append(Entry(action=Action.ERASED, reason="RESUMED", metadata=dict(told)))
            resumed = Forgotten()
            await asyncio.sleep(ERASED_S)
            if await threads.run(eraser.is_undone):
                resumed = await threads.run(eraser.resume)
        except Exception:
            log.exception("what was erased could not be erased again; tried again")
            await asyncio.sleep(RETRY_S)


async def retain(eraser: Eraser, retention: Mapping[str, int], journal: Journal) -> None:
    """Let go of what retention no longer wants; each disposal is recorded before and after."""
    while True:
        month = time.strftime("%Y-%m", time.gmtime())
        try:
            for entry_class, kept in (await threads.run(eraser.dispose, retention, month)).items():
                await _dispose(eraser, journal, entry_class, kept)
        except Exception:
            log.exception("what is past its retention could not be disposed of; tried again")
        await asyncio.sleep(RETENTION_S)


async def _dispose(eraser: Eraser, journal: Journal, entry_class: str, kept: list[KeptKey]) -> None:
    months = sorted({key.name.month for key in kept})
    of = {"class": entry_class, "from": months[0], "to": months[-1]}
    intent = Entry(action=Action.INTENT, method="retention", metadata=dict(of))
    await journal.append(intent)
    forgotten = await threads.run(eraser.forget, kept)
    told: dict[str, str | int] = {**of, "keys": forgotten.keys, "rows": forgotten.rows}
    await journal.append(
        Entry(action=Action.DISPOSED, method="retention", reason="RETENTION", intent_id=intent.id, metadata=dict(told))
    )


async def prune_spans(spans: Spans, days: float, limit: int) -> None:
    """Keep the span store within its bounds."""
    while True:
        before_ns = time.time_ns() - int(days * 86_400 * 1e9)
        try:
            await threads.run(spans.prune, before_ns, limit)
        except Exception:
            log.exception("the span store could not be pruned; tried again")
        await asyncio.sleep(PRUNE_S)


async def alert(findings: Findings, raised: Raised) -> None:
    """Say it in the log and in the record."""
    subject = findings.journal.pseudonym(raised.subject) if raised.kind in OF_AGENTS else raised.subject
    detail = {"kind": raised.kind, "subject": subject, "summary": raised.summary}
    log.error("a finding was raised", extra=detail)
    try:
        await findings.raise_(raised)
    except RecordUnavailable as error:
        log.error("the finding could not be recorded", extra={"error": str(error)})


def _lag_ns(arrived: list[Arrived]) -> int:
    """How long ago the latest of these entries was made."""
    if not arrived:
        return 0
    return time.time_ns() - max(parse_time(batch.entries[-1].fields["time"]) for batch in arrived)
