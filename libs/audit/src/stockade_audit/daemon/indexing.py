"""Follows every journal into the index and the hash files."""

import errno
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from stockade_audit.checkpoint import Checkpoint, open_note
from stockade_audit.daemon.domain.errors import JournalNotFound
from stockade_audit.daemon.domain.ports import Index
from stockade_audit.daemon.domain.query import Indexed
from stockade_audit.entry import parse_time
from stockade_audit.errors import AuditError, JournalDamaged
from stockade_audit.hashes import HashFile
from stockade_audit.head import JournalHead
from stockade_audit.keys import VerifierKey, follow_all
from stockade_audit.keystore import KeysUnavailable
from stockade_audit.reader import Follower, JournalRewound, Located, journals
from stockade_audit.sealing import Opened, Opener
from stockade_audit.tree import leaf_hash


@dataclass(frozen=True, slots=True)
class Arrived:
    """Entries of one journal that were just indexed."""

    slot: str
    located: list[Located]
    entries: list[Opened]


@dataclass(slots=True)
class _Followed:
    """One journal on its way into the index. A `problem` ends that until the daemon is started again."""

    follower: Follower
    hashes: HashFile
    state: Indexed
    problem: str = ""


@dataclass(slots=True)
class Indexer:
    """Reads all journals under `root`. Blocking; one caller at a time polls, others may ask for nodes and marks."""

    root: Path
    index: Index
    directory: Path
    opener: Opener
    _followed: dict[str, _Followed] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _problems: list[tuple[str, str, str]] = field(default_factory=list)
    _failing: str = ""
    _lacks_keys: bool = False
    lag_s: float = 0.0
    """How long ago the latest entry was made that came last, while more may be waiting; else 0."""

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for state in self.index.indexed():
            self._followed[state.slot] = self._resume(state)

    def poll(self) -> list[Arrived]:
        """Index what has come in since the last time, at most some thousand entries of each journal."""
        with self._lock:
            for directory in journals(self.root):
                if directory.name not in self._followed:
                    self._followed[directory.name] = self._resume(Indexed(directory.name))
            return [arrived for slot in sorted(self._followed) if (arrived := self._poll_one(slot))]

    def forget_keys(self, numbers: Collection[int]) -> int:
        """Take out of the index what these keys opened, between two polls: what is read after it is not opened."""
        with self._lock:
            self.opener.forget()
            return self.index.forget_keys(numbers)

    def take_problems(self) -> list[tuple[str, str, str]]:
        """What was found wrong since the last time: a finding's kind, subject and summary."""
        problems, self._problems = self._problems, []
        return problems

    def marks(self) -> dict[str, JournalHead]:
        """What each journal is, made durable first: a head must not cover what a power cut can take back."""
        with self._lock:
            return dict(self._marks())

    def sizes(self) -> dict[str, int]:
        """How many entries of each journal are read, without waiting for those being read."""
        return {slot: followed.hashes.size for slot, followed in list(self._followed.items())}

    def hashes(self, slot: str) -> HashFile:
        """The stored hashes of a journal."""
        try:
            return self._followed[slot].hashes
        except KeyError:
            raise JournalNotFound(slot) from None

    def close(self) -> None:
        """Let go of all files."""
        for followed in self._followed.values():
            followed.follower.close()
            followed.hashes.close()

    def _marks(self) -> Iterator[tuple[str, JournalHead]]:
        for slot, followed in self._followed.items():
            if followed.state.key:
                followed.follower.sync()
                size = followed.state.place.position
                yield slot, JournalHead(size, followed.hashes.root(size), followed.state.key)

    def _resume(self, state: Indexed) -> _Followed:
        path = self.directory / f"{state.slot}.hashes"
        try:
            hashes = HashFile(path, state.place.position)
        except ValueError:  # lost or older than the index: both are made again
            self.index.forget(state.slot)
            state = Indexed(state.slot)
            hashes = HashFile(path, 0)
        return _Followed(Follower(self.root / state.slot, state.place), hashes, state)

    def _poll_one(self, slot: str) -> Arrived | None:
        followed = self._followed[slot]
        if followed.problem:
            return None
        try:
            return self._take(slot, followed)
        except JournalRewound:
            self._begin_again(slot, followed)
        except Exception as error:
            if _is_of_journal(error):
                followed.problem = str(error)
                self._problems.append(("VERIFICATION_FAILED", slot, followed.problem))
            else:
                self._read_again(slot, followed, str(error))
        return None

    def _begin_again(self, slot: str, followed: _Followed) -> None:
        """Read a journal from its beginning. Its hash file stays open: readers may be at work in it."""
        followed.follower.close()
        self.index.forget(slot)
        followed.hashes.cut(0)
        followed.state = Indexed(slot)
        followed.follower = Follower(self.root / slot, followed.state.place)

    def _read_again(self, slot: str, followed: _Followed, why: str) -> None:
        """The index had no room for what was read, or it or the keys are busy: go back to where it is, say so once."""
        if why != self._failing:
            self._failing = why
            self._problems.append(("SINK_LAG", "index", f"the index waits: {why}"))
        followed.follower.close()
        followed.hashes.cut(followed.state.place.position)
        followed.follower = Follower(self.root / slot, followed.state.place)

    def _take(self, slot: str, followed: _Followed) -> Arrived | None:
        located = followed.follower.poll()
        if not located:
            return None
        followed.hashes.append([leaf_hash(at.leaf) for at in located])
        key = followed.state.key or (self.root / slot / "signing.pub").read_text().strip()
        key = str(follow_all(VerifierKey.parse(key), followed.follower.rotations))
        self._check(followed, key)
        entries = [self.opener.open(at.leaf) for at in located]
        time_ns = parse_time(entries[-1].fields["time"])
        state = replace(followed.state, place=followed.follower.place, time_ns=time_ns, key=key)
        self.index.add(state, located, entries)
        followed.state, self._failing = state, ""
        self._look_for_keys(slot, entries)
        return Arrived(slot, located, entries)

    def _look_for_keys(self, slot: str, entries: list[Opened]) -> None:
        """Say once that the key store is not the one that these entries were written with."""
        lacking = sum(entry.key_missing for entry in entries)
        if lacking and not self._lacks_keys:
            self._lacks_keys = True
            why = f"the keys of {lacking} entries and perhaps more are gone: restore the key store from its backup"
            self._problems.append(("VERIFICATION_FAILED", slot, why))

    def _check(self, followed: _Followed, key: str) -> None:
        """Hold what was read to the last checkpoint over it."""
        checkpoint = Checkpoint.parse(open_note(followed.follower.note, VerifierKey.parse(key)))
        size = followed.hashes.size
        if (checkpoint.size, checkpoint.root) != (size, followed.hashes.root(size)):
            raise JournalDamaged(f"{followed.follower.directory}: the entries have another root than was signed")


def _is_of_journal(error: Exception) -> bool:
    """Whether the journal itself is wrong or cannot be read, rather than the index full or busy."""
    if isinstance(error, OSError):
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, AuditError | ValueError | KeyError) and not isinstance(error, KeysUnavailable)
