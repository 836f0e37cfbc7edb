"""The report: one page of HTML that needs nothing else to be read."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from stockade_audit.daemon.evidence import plots
from stockade_audit.daemon.evidence.controls import counted
from stockade_audit.daemon.evidence.gathering import Gathered
from stockade_audit.daemon.evidence.period import Period
from stockade_audit.entry import format_time

ROWS: Final = 1000  # of one table; the files have all
TOP: Final = 20
Row = Mapping[str, Any]  # an entry's members as far as they can be opened

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a202c }
h1, h2 { line-height: 1.2 } table { border-collapse: collapse; width: 100%; font-size: 14px }
th, td { border-bottom: 1px solid #cbd5e0; padding: .25rem .5rem; text-align: left; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums } svg text { font: 12px system-ui, sans-serif }
figure { margin: 1.5rem 0 } figcaption { font-weight: 600; margin-bottom: .5rem } code { word-break: break-all }
"""


# A section's file, its title, and the members of its entries that are shown.
_TABLES: Final = (
    ("policies", "Policies and profiles", ("time", "service", "principal", "resource", "reason", "metadata")),
    ("access", "Access to the record", ("time", "principal_kind", "principal", "method", "metadata")),
    ("retention", "Retention and erasure", ("time", "action", "principal", "resource", "reason", "metadata")),
    ("findings", "Findings and faults", ("time", "action", "service", "reason", "resource", "metadata")),
    ("acceptance", "Acceptance", ("time", "reason", "status", "metadata")),
)


def report(period: Period, found: Gathered, tables: Mapping[str, Sequence[Row]]) -> str:
    """The page; `tables` has the entries of each section."""
    start, end = format_time(period.start_ns)[:19], format_time(period.end_ns)[:19]
    parts = [
        f"<h1>Evidence from the audit record</h1><p>{start}Z to {end}Z, {found.total} entries.</p>",
        "<p>This page supports <strong>readiness</strong> for a SOC 2 examination: it counts what the record holds. "
        "It is no statement of compliance, which only an examination can give. Criteria are those of the AICPA's Trust "
        "Services Criteria (2017).</p>",
        _section("Controls", _controls(found)),
        _section("Contiguity", _contiguity(period)),
        _section("Over time", _plots(found, start, end)),
        *(_section(title, _entries(tables[name], columns)) for name, title, columns in _TABLES),
        _section("How to check this", _check(period)),
    ]
    head = f'<meta charset="utf-8"><title>Evidence {start} to {end}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _controls(found: Gathered) -> str:
    rows = [(c["criterion"], c["subject"], c["counted"], c["count"]) for c in counted(found)]
    return _table(("Criterion", "Subject", "Counted", "Count"), rows)


def _contiguity(period: Period) -> str:
    rows = [(slot, *period.bounds(slot)) for slot in sorted(period.after.journals)]
    told = (
        f"<p>The record of the period lies between head {period.before.sequence if period.before else 0} and head "
        f"{period.after.sequence}, both signed. <code>continuity.json</code> proves that each journal of the second "
        "begins with all of the first, so that no entry was taken out or changed in between.</p>"
    )
    return told + _table(("Journal", "From position", "To position"), rows)


def _plots(found: Gathered, start: str, end: str) -> str:
    series = {name: [(a, found.over_time.get(a, ())) for a in actions] for name, actions in _SERIES.items()}
    drawn = [plots.lines(name, f"{start}Z", f"{end}Z", chosen) for name, chosen in series.items()]
    drawn.append(plots.bars("Blocked, by domain", found.blocked_domains.most_common(TOP)))
    drawn.append(plots.bars("Rate limited, by agent type", found.limited_types.most_common(TOP)))
    return "".join(drawn)


_SERIES: Final = {
    "Decisions": ("ALLOWED", "BLOCKED", "RATE_LIMITED"),
    "Sandboxes": ("SANDBOX_CREATED", "SANDBOX_DELETED", "SANDBOX_LOST"),
}


def _check(period: Period) -> str:
    return (
        "<p><code>python3 -I -S verify.py PACK.zip --key KEY --heads HEADS</code>, with the verifier key and the heads "
        "from the witness, not from whoever gave you this archive. <code>verify.py</code> is one file of the standard "
        "library. It checks that every file is the one listed in <code>manifest.json</code>, both heads' signatures, "
        "contiguity, and that every entry shown is in the signed tree. The counts were made from all entries of the "
        "period, which are not in this archive: an export of the period lets them be made again.</p>"
        f"<p>Pinned to head {period.after.sequence} of {format_time(period.after.time_ns)}, the first witnessed one "
        "that covers the period. What became durable only after it is in no evidence of this period.</p>"
    )


def _entries(rows: Sequence[Row], columns: Sequence[str]) -> str:
    if not rows:
        return "<p>None in this period.</p>"
    shown = _table(columns, ([_cell(row.get(name, "")) for name in columns] for row in rows[:ROWS]))
    return shown + (f"<p>{len(rows) - ROWS} more are in the file.</p>" if len(rows) > ROWS else "")


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in sorted(value.items()))
    return str(value)


def _table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in headers)
    body = "".join("<tr>" + "".join(map(_td, row)) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _td(value: Any) -> str:
    if isinstance(value, int):
        return f'<td class="n">{value}</td>'
    return f"<td>{escape(''.join(c if c.isprintable() else chr(0xFFFD) for c in str(value)))}</td>"


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"
