"""Raises findings, lists them and moves them on. The record is where they are kept."""

from collections.abc import Iterator
from dataclasses import dataclass

from stockade_audit import Action, Entry, Journal
from stockade_audit.daemon.domain.errors import FindingNotFound
from stockade_audit.daemon.domain.finding import OF_AGENTS, Finding, Raised, Rules, finding_of
from stockade_audit.daemon.domain.query import Cursor, Filter, Row
from stockade_audit.daemon.indexing import Arrived
from stockade_audit.daemon.record import Record
from stockade_audit.entry import parse_time

RECENT_NS = 300_000_000_000  # what is older was judged when it came, or is being indexed again


def judge(rules: Rules, arrived: list[Arrived], now_ns: int) -> Iterator[Raised]:
    """What entries that just came give cause to say."""
    for batch in arrived:
        for entry in batch.entries:
            time_ns = parse_time(entry.fields["time"])
            if now_ns - time_ns < RECENT_NS:
                yield from rules.watch(batch.slot, time_ns, entry.fields)


@dataclass(frozen=True, slots=True)
class Findings:
    """Reading blocks; raising and moving on append to the daemon's own journal."""

    record: Record
    journal: Journal

    async def raise_(self, raised: Raised) -> None:
        """Write a finding down. RecordUnavailable when that cannot be."""
        told = {"detail": raised.summary, "entries": " ".join(raised.entry_ids)}
        agent = raised.subject if raised.kind in OF_AGENTS else ""
        entry = Entry(
            action=Action.ALERT, reason=raised.kind, resource=raised.subject, agent=agent, metadata=dict(told)
        )
        await self.journal.append(entry)

    async def move(self, finding: Finding, action: Action, principal: str, disposition: str, note: str) -> None:
        """Say that somebody looks into it (ACKNOWLEDGED), or what it turned out to be (DISPOSED)."""
        entry = Entry(
            action=action,
            principal_kind="operator",
            principal=principal,
            resource=finding.subject,
            agent=finding.subject if finding.kind in OF_AGENTS else "",
            reason=disposition,
            intent_id=finding.id,
            metadata={"note": note},
        )
        await self.journal.append(entry)

    def get(self, identity: str) -> Finding:
        """One finding; FindingNotFound."""
        row = self.record.index.get(identity)
        if row is None:
            raise FindingNotFound(identity)
        finding = self._finding(row)
        if finding is None:
            raise FindingNotFound(identity)
        return finding

    def page(self, states: frozenset[str], limit: int, after: Cursor | None) -> tuple[list[Finding], Cursor | None]:
        """At most `limit` of those in these states (none: all), newest first, and where to go on."""
        found: list[Finding] = []
        while rows := self.record.index.find(ALERTS, limit=limit, after=after):
            for row in rows:
                after = row.cursor
                finding = self._finding(row)
                if finding is not None and (not states or finding.state in states):
                    found.append(finding)
                    if len(found) == limit:
                        return found, after
        return found, None

    def _finding(self, row: Row) -> Finding | None:
        ((_, found),) = self.record.leaves([row])
        alert = found.fields
        if alert["action"] != Action.ALERT:
            return None
        related = self.record.leaves(self.record.index.related(alert["id"]))
        return finding_of(alert, row.time_ns, [entry.fields for _, entry in related])


ALERTS = Filter(actions=(str(Action.ALERT),))
