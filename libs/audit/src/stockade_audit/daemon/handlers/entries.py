"""AuditService."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import audit_service_pb2_grpc, entry_pb2
from stockade_rpckit import threads
from stockade_rpckit.identity import PrincipalKind, current_principal
from stockade_rpckit.recording import current_record

from stockade_audit import Action, Journal
from stockade_audit.daemon.domain.claims import Claims
from stockade_audit.daemon.domain.errors import ClaimsTooFast
from stockade_audit.daemon.domain.query import Cursor, Filter, Indexed, Row
from stockade_audit.daemon.exporting import chunks, json_array, ndjson, ocsf, table
from stockade_audit.daemon.handlers import messages
from stockade_audit.daemon.indexing import Arrived
from stockade_audit.daemon.record import Page, Record
from stockade_audit.daemon.tailing import Tails
from stockade_audit.entry import Entry, parse_time
from stockade_audit.reader import Place
from stockade_audit.sealing import Opened

HEARTBEAT_S = 15.0

_FORMS = {
    audit.EXPORT_FORMAT_JSON: json_array,
    audit.EXPORT_FORMAT_NDJSON: ndjson,
    audit.EXPORT_FORMAT_CSV: table,
    audit.EXPORT_FORMAT_OCSF: ocsf,
}


class AuditHandler(audit_service_pb2_grpc.AuditServiceServicer):  # type: ignore[misc]
    """The record, read and added to."""

    def __init__(self, record: Record, tails: Tails, journal: Journal, slot: str, claims: Claims) -> None:
        self._record, self._tails, self._journal, self._slot = record, tails, journal, slot
        self._claims = claims

    async def ListEntries(self, request: audit.ListEntriesRequest, _context: Any) -> audit.ListEntriesResponse:
        filter_ = messages.filter_of(request.filter)
        newest_first = request.order != audit.ENTRY_ORDER_OLDEST_FIRST
        digest = f"{filter_.digest}{newest_first:d}"
        after = Cursor.parse(request.page_token, digest) if request.page_token else None
        page = await threads.run(self._record.page, filter_, request.page_size or 100, newest_first, after)
        self._read(request.filter, len(page.entries))
        return audit.ListEntriesResponse(
            entries=_entries(page.entries),
            next_page_token=page.next.token(digest) if page.next else "",
            indexed_through=messages.indexed_messages(page.indexed),
        )

    async def GetEntry(self, request: audit.GetEntryRequest, _context: Any) -> audit.GetEntryResponse:
        current_record().set(action=Action.READ, resource=request.id)
        found, page = await threads.run(self._record.entry, request.id)
        return audit.GetEntryResponse(
            entry=_entries([found])[0],
            related=_entries(page.entries),
            indexed_through=messages.indexed_messages(page.indexed),
        )

    async def TailEntries(
        self, request: audit.TailEntriesRequest, _context: Any
    ) -> AsyncIterator[audit.TailEntriesResponse]:
        current_record().set(action=Action.READ, metadata=self._described(request.filter))
        filter_ = messages.filter_of(request.filter)
        async with self._tails.follow() as arriving:
            page = await threads.run(self._backlog, request, filter_)
            seen = {state.slot: state.place.position for state in page.indexed}
            yield _tail_response(page.entries, page.indexed)
            async for batch in _with_heartbeats(arriving):
                if batch is None:
                    yield audit.TailEntriesResponse()
                elif batch.located[-1].position >= seen.get(batch.slot, 0):
                    yield _tail_batch(batch, filter_, seen.get(batch.slot, 0))

    async def GetStats(self, request: audit.GetStatsRequest, _context: Any) -> audit.GetStatsResponse:
        current_record().set(action=Action.READ)
        indexed = await threads.run(self._record.index.indexed)
        stats = await threads.run(self._record.index.stats, messages.stats_query(request))
        return audit.GetStatsResponse(
            rows=map(messages.stats_message, stats.rows),
            total=stats.total,
            truncated=stats.truncated,
            indexed_through=messages.indexed_messages(indexed),
        )

    async def ExportEntries(
        self, request: audit.ExportEntriesRequest, _context: Any
    ) -> AsyncIterator[audit.ExportEntriesResponse]:
        indexed = await threads.run(self._record.index.indexed)
        export = await threads.run(self._record.export, messages.filter_of(request.filter))
        through = messages.indexed_messages(indexed)
        parts = iter(chunks(_FORMS[request.format](export)))
        while (chunk := await threads.run(next, parts, None)) is not None:
            yield audit.ExportEntriesResponse(chunk=chunk, entries=export.entries, indexed_through=through)
            through = []
        self._read(request.filter, export.entries)

    async def AppendEntry(self, request: audit.AppendEntryRequest, _context: Any) -> audit.AppendEntryResponse:
        self._admit(1)
        entry = self._appended(request.entry)
        position = await self._journal.append(entry)
        current_record().skip()
        return audit.AppendEntryResponse(id=entry.id, journal=self._slot, position=position)

    async def BatchAppendEntries(
        self, request: audit.BatchAppendEntriesRequest, _context: Any
    ) -> audit.BatchAppendEntriesResponse:
        self._admit(len(request.entries))
        entries = [self._appended(message) for message in request.entries]
        position = await self._journal.append_many(entries)
        current_record().skip()
        return audit.BatchAppendEntriesResponse(
            ids=[entry.id for entry in entries], journal=self._slot, position=position
        )

    def _described(self, message: entry_pb2.EntryFilter) -> dict[str, Any]:
        """A filter in the entry that says the record was read: pseudonyms, since that entry is of whoever reads."""
        shown = entry_pb2.EntryFilter()
        shown.CopyFrom(message)
        for name in ("agents", "principals"):
            del getattr(shown, name)[:]
            getattr(shown, name).extend(map(self._journal.pseudonym, getattr(message, name)))
        return {"filter": " ".join(str(shown).split())} if message.ByteSize() else {}

    def _read(self, message: entry_pb2.EntryFilter, count: int) -> None:
        current_record().set(action=Action.READ, metadata={**self._described(message), "entries": count})

    def _admit(self, count: int) -> None:
        """Hold an agent to its share; what is refused is counted, not recorded one by one."""
        principal = current_principal()
        if principal.kind is not PrincipalKind.AGENT:
            return
        if wait := self._claims.admit(principal.name, count, time.monotonic()):
            current_record().skip()
            raise ClaimsTooFast(principal.name, wait)

    def _appended(self, message: entry_pb2.Entry) -> Entry:
        """What a service says, as it says it; what an agent says, as its claim and under its name."""
        principal = current_principal()
        if principal.kind is not PrincipalKind.AGENT:
            return messages.entry_of(message)
        return messages.entry_of(
            message,
            action=Action.CLAIM,
            service="",
            principal_kind=str(principal.kind),
            principal=principal.name,
            agent=principal.name,
            agent_type=principal.agent_type,
            sandbox=principal.sandbox,
            intent_id="",
        )

    def _backlog(self, request: audit.TailEntriesRequest, filter_: Filter) -> Page:
        if request.after:
            after = [Indexed(at.journal, Place(position=at.size)) for at in request.after]
            indexed = self._record.index.indexed()
            return Page(list(self._record.behind(after, filter_)), indexed)
        if request.backlog:
            page = self._record.page(filter_, request.backlog, True, None)
            return Page(page.entries[::-1], page.indexed)
        return Page([], self._record.index.indexed())


def _entries(found: Iterable[tuple[Row, Opened]]) -> list[entry_pb2.Entry]:
    return [messages.entry_message(row.slot, row.position, entry) for row, entry in found]


def _tail_response(found: Iterable[tuple[Row, Opened]], indexed: list[Indexed]) -> audit.TailEntriesResponse:
    return audit.TailEntriesResponse(entries=_entries(found), indexed_through=messages.indexed_messages(indexed))


def _tail_batch(batch: Arrived, filter_: Filter, seen: int) -> audit.TailEntriesResponse:
    """The entries of a batch that are meant, behind what the backlog has shown already."""
    last = batch.located[-1]
    end = Indexed(batch.slot, Place(position=last.position + 1), parse_time(batch.entries[-1].fields["time"]))
    chosen = [
        messages.entry_message(batch.slot, at.position, entry)
        for at, entry in zip(batch.located, batch.entries, strict=True)
        if at.position >= seen and filter_.matches(parse_time(entry.fields["time"]), entry.fields)
    ]
    return audit.TailEntriesResponse(entries=chosen, indexed_through=messages.indexed_messages([end]))


async def _with_heartbeats(arriving: AsyncIterator[Arrived]) -> AsyncIterator[Arrived | None]:
    """The same, with None in between when nothing has come for a while."""
    coming = asyncio.ensure_future(anext(arriving))
    try:
        while True:
            done, _ = await asyncio.wait([coming], timeout=HEARTBEAT_S)
            if not done:
                yield None
                continue
            yield coming.result()
            coming = asyncio.ensure_future(anext(arriving))
    finally:
        coming.cancel()
