"""Whether journals are what was signed: every leaf hashed again, compared with checkpoints and witnessed heads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from stockade_audit.checkpoint import Checkpoint, open_note
from stockade_audit.errors import AuditError, JournalDamaged
from stockade_audit.head import Head, JournalHead
from stockade_audit.keys import VerifierKey, follow
from stockade_audit.reader import journals, read_header, rotations_of
from stockade_audit.recovery import holds_commit
from stockade_audit.segment import Commit, Header, commits, decode_header, segment_numbers, segment_path
from stockade_audit.tree import EMPTY_ROOT, Frontier, leaf_hash


class Verdict(StrEnum):
    """What was found."""

    INTACT = "INTACT"
    ENTRY_CHANGED = "ENTRY_CHANGED"
    TAIL_CUT = "TAIL_CUT"
    SEGMENT_MISSING = "SEGMENT_MISSING"
    JOURNAL_MISSING = "JOURNAL_MISSING"
    FORKED = "FORKED"
    SIGNATURE_WRONG = "SIGNATURE_WRONG"
    INDEX_WRONG = "INDEX_WRONG"
    HEADS_WRONG = "HEADS_WRONG"
    COPY_WRONG = "COPY_WRONG"


@dataclass(frozen=True, slots=True)
class Report:
    """One journal, read to its end or to the first bad place, which is `position`."""

    journal: str
    verdict: Verdict
    size: int
    root: bytes
    position: int = 0
    detail: str = ""


# The hash that was stored for a position when it was indexed; None when there is none.
StoredHash = Callable[[int], bytes | None]


class _Bad(Exception):
    def __init__(self, verdict: Verdict, position: int, detail: str) -> None:
        super().__init__(detail)
        self.verdict, self.position, self.detail = verdict, position, detail


def verify_journal(
    directory: Path, key: VerifierKey, marks: Sequence[JournalHead], stored: StoredHash | None = None
) -> Report:
    """Read a journal and hold it to `marks`, what witnessed heads say of it, smallest first.

    A changed entry is first found by the root after it; which one it was is then told by its commit's checkpoint, or,
    where the hash stored when it was indexed is at hand, exactly.
    """
    reading = _Reading(directory, key, [mark for mark in marks if mark.size])
    try:
        reading.run()
        bad = None
    except _Bad as found:
        bad = _narrowed(found, reading, stored)
    except JournalDamaged as found:
        bad = _Bad(Verdict.ENTRY_CHANGED, reading.frontier.size, str(found))
    size, root = reading.frontier.size, reading.frontier.root()
    if bad is None:
        return Report(directory.name, Verdict.INTACT, size, root)
    return Report(directory.name, bad.verdict, size, root, bad.position, bad.detail)


@dataclass(slots=True)
class _Reading:
    directory: Path
    key: VerifierKey
    marks: list[JournalHead]
    frontier: Frontier = field(default_factory=Frontier)
    witnessed: int = 0

    def run(self) -> None:
        key = self.key
        for header, segment in read_segments(self.directory, self.frontier):
            key, note = _key_of(header, key), b""
            for commit in segment:
                self._commit(commit)
                note = commit.note
            if note:
                check_note(note, key, self.frontier)
        if self.marks:
            verdict = Verdict.ENTRY_CHANGED if _has_trailing_bytes(self.directory) else Verdict.TAIL_CUT
            left = f"{self.frontier.size} of {self.marks[-1].size} witnessed entries can be read"
            raise _Bad(verdict, self.frontier.size, left)

    def _commit(self, commit: Commit) -> None:
        append = self.frontier.append
        if not self.marks or self.marks[0].size > self.frontier.size + len(commit.leaves):
            for _, leaf in commit.leaves:
                append(leaf_hash(leaf))
            return
        for _, leaf in commit.leaves:
            append(leaf_hash(leaf))
            while self.marks and self.marks[0].size == self.frontier.size:
                self._check_mark(self.marks.pop(0))

    def _check_mark(self, mark: JournalHead) -> None:
        if mark.root != self.frontier.root():
            between = f"entries {self.witnessed} to {mark.size - 1} are not those that were witnessed"
            raise _Bad(Verdict.FORKED, self.witnessed, between)
        self.witnessed = mark.size


def _narrowed(bad: _Bad, reading: "_Reading", stored: StoredHash | None) -> _Bad:
    """The first entry that is not the one stored; failing that, the first commit not signed; failing both, `bad`."""
    frontier = Frontier()
    unsigned: _Bad | None = None
    try:
        for key, commit in _all_commits(reading.directory, reading.key, frontier):
            first = frontier.size
            for _, leaf in commit.leaves:
                hashed = leaf_hash(leaf)
                if stored is not None and stored(frontier.size) not in (None, hashed):
                    return _Bad(Verdict.ENTRY_CHANGED, frontier.size, f"{bad.detail}: this is not the entry indexed")
                frontier.append(hashed)
            unsigned = unsigned or _unsigned(commit, first, key, frontier)
    except (_Bad, JournalDamaged):
        pass  # it ends where `bad` was found
    return unsigned or bad


def _unsigned(commit: Commit, first: int, key: VerifierKey, frontier: Frontier) -> _Bad | None:
    try:
        check_note(commit.note, key, frontier)
    except _Bad as found:
        return _Bad(found.verdict, first, f"entries {first} to {frontier.size - 1}: {found.detail}")
    return None


def _all_commits(directory: Path, key: VerifierKey, frontier: Frontier) -> Iterator[tuple[VerifierKey, Commit]]:
    """Every commit and the key that should have signed it."""
    for header, segment in read_segments(directory, frontier):
        key = _key_of(header, key)
        for commit in segment:
            yield key, commit


def check_note(note: bytes, key: VerifierKey, frontier: Frontier) -> None:
    """Raise unless the checkpoint is signed and is of this tree."""
    try:
        checkpoint = Checkpoint.parse(open_note(note, key))
    except AuditError as error:
        raise _Bad(Verdict.SIGNATURE_WRONG, frontier.size, str(error)) from error
    if (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root()):
        raise _Bad(Verdict.ENTRY_CHANGED, frontier.size, "the entries do not have the root that was signed")


def _key_of(header: Header, key: VerifierKey) -> VerifierKey:
    """The key that signs a segment, where `key` signed the one before."""
    try:
        return follow(key, header.rotation) if header.rotation else key
    except AuditError as error:
        raise _Bad(Verdict.SIGNATURE_WRONG, header.first, str(error)) from error


def read_segments(directory: Path, frontier: Frontier) -> Iterator[tuple[Header, Iterator[Commit]]]:
    """Each segment's header and commits; `frontier`, grown by the caller as it reads, tells where a chain breaks."""
    numbers = segment_numbers(directory)
    for expected, number in enumerate(numbers):
        if number != expected:
            raise _Bad(Verdict.SEGMENT_MISSING, frontier.size, f"segment {expected} is missing")
        path = segment_path(directory, number)
        data = path.read_bytes()
        begun = decode_header(data, path)
        if begun is None:
            if number == numbers[-1]:
                return  # a crash came between its name and its header
            raise _Bad(Verdict.SEGMENT_MISSING, frontier.size, f"{path.name} is empty")
        _check_header(path, begun[0], frontier)
        yield begun[0], _commits_of(path, data, begun[1], _declared_end(directory, number), frontier)


def _commits_of(path: Path, data: bytes, offset: int, declared: int | None, frontier: Frontier) -> Iterator[Commit]:
    for commit in commits(data, offset):
        if commit.offset == declared:
            return  # what lies behind was never acknowledged
        yield commit
        offset = commit.end
    broken = offset != declared if declared is not None else holds_commit(data[offset:])
    if broken:
        raise _Bad(Verdict.ENTRY_CHANGED, frontier.size, f"{path.name} is damaged at byte {offset}")


def _has_trailing_bytes(directory: Path) -> bool:
    """Whether the last segment goes on, behind its last whole commit, with something that is none."""
    path = segment_path(directory, segment_numbers(directory)[-1])
    data = path.read_bytes()
    begun = decode_header(data, path)
    end = begun[1] if begun else 0
    for commit in commits(data, end):
        end = commit.end
    return any(data[end:])


def _declared_end(directory: Path, number: int) -> int | None:
    """Where the next segment says that this one ends; None for the last."""
    following = segment_path(directory, number + 1)
    begun = read_header(following) if following.exists() else None
    return begun[0].previous_end if begun else None


def _check_header(path: Path, header: Header, frontier: Frontier) -> None:
    if header.first != frontier.size or list(header.edge) != frontier.hashes:
        raise _Bad(Verdict.FORKED, frontier.size, f"{path.name} continues another tree of {header.first} entries")


def verify_record(root: Path, heads: Sequence[Head], stored: Callable[[str], StoredHash | None]) -> Iterator[Report]:
    """Every journal under `root` and every journal that the heads know, one report each; no heads, no marks."""
    witnessed = heads[-1].journals if heads else {}
    present = {directory.name for directory in journals(root)}
    for slot in sorted(present | witnessed.keys()):
        if slot not in present:
            if witnessed[slot].size:
                left = f"0 of {witnessed[slot].size} witnessed entries are left"
                yield Report(slot, Verdict.JOURNAL_MISSING, 0, EMPTY_ROOT, 0, left)
            continue
        yield _verify_one(root / slot, witnessed.get(slot), _marks(heads, slot), stored(slot))


def _verify_one(
    directory: Path, witnessed: JournalHead | None, marks: list[JournalHead], stored: StoredHash | None
) -> Report:
    try:
        key = _first_key(directory, witnessed)
    except (OSError, AuditError) as error:
        return Report(directory.name, Verdict.SIGNATURE_WRONG, 0, EMPTY_ROOT, 0, f"no verifier key: {error}")
    return verify_journal(directory, key, marks, stored)


def _first_key(directory: Path, witnessed: JournalHead | None) -> VerifierKey:
    """The key that a journal began with: that of its public file, if it led to the one that is witnessed."""
    if witnessed is None:
        return VerifierKey.parse((directory / "signing.pub").read_text())
    key = VerifierKey.parse(witnessed.key)
    with suppress(OSError, AuditError):
        first = following = VerifierKey.parse((directory / "signing.pub").read_text())
        for rotation in rotations_of(directory):
            following = follow(following, rotation)
            if following == key:
                return first
    return key


def _marks(heads: Sequence[Head], slot: str) -> list[JournalHead]:
    """What the heads say of one journal, each size once; two roots of one size are both kept, so that one fails."""
    marks = {(mark.size, mark.root): mark for head in heads if (mark := head.journals.get(slot))}
    return [marks[key] for key in sorted(marks)]


def verify_heads(heads: Sequence[Head], key: VerifierKey) -> Report:
    """Whether each head names the one before, none shrinks a journal, and the last is signed by `key`."""
    problem = _heads_problem(heads, key)
    sequence = heads[-1].sequence if heads else 0
    return Report("", Verdict.HEADS_WRONG if problem else Verdict.INTACT, sequence, EMPTY_ROOT, 0, problem)


def _heads_problem(heads: Sequence[Head], key: VerifierKey) -> str:
    for last, head in pairwise(heads):
        if problem := problem_between(last, head):
            return problem
    try:
        if heads:
            Head.open(heads[-1].note, key)
    except AuditError as error:
        return str(error)
    return ""


def problem_between(last: Head, head: Head) -> str:
    """Why a head does not come next after another, as far as both can say that without the journals; else empty."""
    if head.sequence != last.sequence + 1 or head.previous != last.hash:
        return f"head {head.sequence} does not follow head {last.sequence}"
    for slot, mark in last.journals.items():
        if slot not in head.journals or head.journals[slot].size < mark.size:
            return f"head {head.sequence} has less of the journal {slot} than head {last.sequence}"
    return ""
