"""The archive: the same bytes for the same period, seed and record, whenever it is made.

README.txt         what this is, and how to check it
manifest.json      period, seed, the head it is pinned to, and the SHA-256 of every other file
report.html        to be read
controls.json      counts per control
continuity.json    the two signed heads, and for each journal the proof that the second continues the first
sample.ndjson      entries chosen by the seed, as an export with its proofs
policies.ndjson, access.ndjson, retention.ndjson, findings.ndjson, acceptance.ndjson    so too, all there are
verify.py          the verifier
"""

import base64
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from stockade_audit import verify
from stockade_audit.daemon.domain.query import Filter, Row
from stockade_audit.daemon.evidence.controls import counted
from stockade_audit.daemon.evidence.gathering import Gathered, gather
from stockade_audit.daemon.evidence.period import Period, pin
from stockade_audit.daemon.evidence.report import report
from stockade_audit.daemon.exporting import Export, ndjson
from stockade_audit.daemon.record import Record
from stockade_audit.entry import format_time
from stockade_audit.tree import consistency_proof

VERSION: Final = 1
CHUNK: Final = 256 << 10
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP can have

_README: Final = """Evidence from Stockade's audit record
======================================

Open report.html first. It supports readiness for a SOC 2 examination; it is no statement of compliance.

Check everything with the verifier, with Python 3.11 or newer and nothing else:

    python3 -I -S verify.py PACK.zip --key KEY --heads HEADS

KEY is the verifier key of the record's heads, HEADS the witness's heads: ask for both at the witness, not where you
got this archive. manifest.json lists what is in here.
"""


@dataclass(slots=True)
class Chosen(Export):
    """An export of chosen entries, by journal, rather than of those that a filter finds."""

    chosen: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    def rows(self, slot: str, size: int) -> Iterable[Row]:
        return self.chosen.get(slot, ())


class _Archive:
    """A ZIP whose bytes depend on its files' names and contents alone."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self.hashes: dict[str, str] = {}

    def add(self, name: str, parts: Iterable[bytes]) -> None:
        info = zipfile.ZipInfo(name, _EPOCH)
        info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
        digest = sha256()
        with self._zip.open(info, "w", force_zip64=True) as member:
            for part in parts:
                digest.update(part)
                member.write(part)
        self.hashes[name] = digest.hexdigest()

    def close(self) -> None:
        self._zip.close()


def build(record: Record, start_ns: int, end_ns: int, seed: int, sample_size: int) -> Iterator[bytes]:
    """The archive of a period, in chunks. Blocking; PeriodNotCovered."""
    period = pin(record, start_ns, end_ns)
    found = gather(period, record.indexer, seed, sample_size)
    with TemporaryFile() as file:
        archive = _Archive(file)
        _fill(archive, record, period, found, seed)
        archive.close()
        file.seek(0)
        while chunk := file.read(CHUNK):
            yield chunk


def _fill(archive: _Archive, record: Record, period: Period, found: Gathered, seed: int) -> None:
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for name, chosen in found.shown.items():
        archive.add(f"{name}.ndjson", ndjson(_export(record, period, chosen)))
        tables[name] = [entry.fields for rows in chosen.values() for _, entry in record.leaves(rows)]
    archive.add("controls.json", [_document(counted(found))])
    archive.add("continuity.json", [_document(_continuity(record, period))])
    archive.add("report.html", [report(period, found, tables).encode("utf-8", "replace")])
    archive.add("verify.py", [Path(verify.__file__).read_bytes()])
    archive.add("README.txt", [_README.encode()])
    manifest = {
        "version": VERSION,
        "from": format_time(period.start_ns),
        "to": format_time(period.end_ns),
        "head": period.after.sequence,
        "entries": found.total,
        "seed": seed,
        "sample": sum(map(len, found.shown["sample"].values())),
        "files": archive.hashes,
    }
    archive.add("manifest.json", [_document(manifest)])


def _export(record: Record, period: Period, chosen: dict[str, list[Row]]) -> Export:
    limits = Filter(start_ns=period.start_ns, end_ns=period.end_ns)
    return Chosen(record.root, record.index, record.indexer, period.after, limits, chosen)


def _continuity(record: Record, period: Period) -> dict[str, Any]:
    """Both heads and, for each journal of the first, the proof that the second's begins with it."""
    before = period.before
    proofs = {
        slot: [
            base64.b64encode(hashed).decode()
            for hashed in consistency_proof(
                record.indexer.hashes(slot).node, mark.size, period.after.journals[slot].size
            )
        ]
        for slot, mark in sorted(before.journals.items() if before else ())
    }
    return {"before": before.note.decode() if before else "", "after": period.after.note.decode(), "proofs": proofs}


def _document(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=True, sort_keys=True).encode() + b"\n"
