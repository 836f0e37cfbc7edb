"""The one thread that writes a journal: group commit, a checkpoint for each, segments rolled, storage watched."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from stockade_audit.checkpoint import Checkpoint, sign_note
from stockade_audit.entry import PENDING, Action, Entry
from stockade_audit.errors import AuditError
from stockade_audit.keys import SigningKey, write_durably
from stockade_audit.keystore import KeysUnavailable
from stockade_audit.recovery import OPENS, Standing, note_intent
from stockade_audit.rotation import Rotation
from stockade_audit.sealing import KeyNotHeld, Sealer
from stockade_audit.segment import (
    FILE_MODE,
    VERSION,
    Header,
    begin_segment,
    encode_commit,
    fill_spare,
    segment_path,
    write_all,
)
from stockade_audit.tree import Frontier, leaf_hash

MAX_COMMIT_ENTRIES: Final = 1024
RETRY_S: Final = 0.1  # how often a failed journal is tried again
IDLE_S: Final = 0.5  # how often keys are looked after while nothing is written
CLOCK_TOLERANCE_NS: Final = 1_000_000_000
_RECENT: Final = 65_536  # ids a repeated append is recognised by: at least so many, at most twice


class Pending:
    """Entries on their way in, all of one append, and where they came to lie.

    `refused` is set by the loop when its caller was turned away; `positions` by the writer.
    """

    __slots__ = ("entries", "positions", "refused")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.positions: list[int] = []
        self.refused = False


# Called in the writer's thread with what was taken together, and why it is not durable (None: it is).
Settle = Callable[[list[Pending], str | None], None]


class Writer:
    """Takes what lies in `queue`, makes it durable, and says so through what `start` was given.

    A commit is all or nothing: after a failure the tree is as before, the segment's end too, and the journal goes on
    in a new segment, since what a failed `fdatasync` left behind cannot be trusted.
    """

    def __init__(
        self,
        directory: Path,
        slot: str,
        sealer: Sealer,
        key: SigningKey,
        standing: Standing | None,
        segment_bytes: int,
    ) -> None:
        self.queue: SimpleQueue[Pending | None] = SimpleQueue()
        self._directory, self._slot, self._sealer, self._key = directory, slot, sealer, key
        self._segment_bytes = segment_bytes
        self._frontier = standing.frontier if standing else Frontier()
        self._open_intents = standing.open_intents if standing else {}
        self._recent, self._older = (standing.recent if standing else {}), dict[str, int]()
        self._fd, self._number, self._offset, self._tainted = -1, -1, 0, False
        self._rotation = Rotation(directory)
        self._filling = threading.Lock()
        self._clock_offset = time.time_ns() - time.monotonic_ns()
        self._open(standing)
        self._thread = threading.Thread(target=self._run, name=f"audit-{slot}", daemon=True)

    def start(self, settle: Settle, recovered: Callable[[], None]) -> None:
        """Begin to write. Both are called in the writer's thread."""
        self._settle, self._recovered = settle, recovered
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Write what is queued and end; false when the disk kept the thread longer than that."""
        self.queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _open(self, standing: Standing | None) -> None:
        if standing is None:
            self._roll()
            return
        self._number, self._offset = standing.number, standing.offset
        self._fd = os.open(segment_path(self._directory, self._number), os.O_RDWR)
        self._tainted = standing.version != VERSION  # a segment is of one version
        self._fill_ahead()

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            try:
                self._commit(batch)
            except (OSError, AuditError) as error:
                self._settle(batch, str(error))
                if not self._recover(error):
                    break
            else:
                self._settle(batch, None)
        os.close(self._fd)

    def _take(self) -> list[Pending] | None:
        """Wait for one append, then take along what has gathered behind it."""
        first = self._wait()
        if first is None:
            return None
        batch, count = [first], len(first.entries)
        while count < MAX_COMMIT_ENTRIES:
            try:
                pending = self.queue.get_nowait()
            except Empty:
                break
            if pending is None:
                self.queue.put(None)
                break
            batch.append(pending)
            count += len(pending.entries)
        return batch

    def _wait(self) -> Pending | None:
        while True:
            if self._rotation.is_due(self._key):
                return Pending([self._rotation.entry()])
            try:
                return self.queue.get(timeout=IDLE_S)
            except Empty:
                with suppress(KeysUnavailable):  # said when something is to be written
                    self._sealer.refresh()

    def _commit(self, batch: list[Pending]) -> None:
        self._check_storage()
        self._sealer.refresh()
        if self._rotation.is_begun:
            self._rotate()
        clock = self._clock_entries()
        try:
            group = self._gather(clock, batch)
        except KeyNotHeld:
            self._sealer.obtain(entry for pending in batch for entry in pending.entries)
            group = self._gather(clock, batch)
        if group.leaves:
            self._write(group)

    def _gather(self, clock: list[Entry], batch: list[Pending]) -> "_Group":
        group = _Group(self._frontier.copy(), (self._recent, self._older))
        for entry in clock:
            group.place(entry)
        for pending in batch:
            if not pending.refused:
                pending.positions = [group.place(entry) for entry in pending.entries]
        group.leaves = self._sealer.leaves(group.entries)
        group.frontier.extend(map(leaf_hash, group.leaves))
        return group

    def _write(self, group: "_Group") -> None:
        checkpoint = Checkpoint(self._key.verifier.name, group.frontier.size, group.frontier.root())
        data = encode_commit(group.leaves, sign_note(checkpoint.text, self._key))
        if self._tainted or self._offset + len(data) > self._segment_bytes:
            self._roll()
        self._tainted = True
        write_all(self._fd, data, self._offset)
        os.fdatasync(self._fd)
        self._tainted = False
        self._offset += len(data)
        self._frontier = group.frontier
        self._remember(group)

    def _remember(self, group: "_Group") -> None:
        if len(self._recent) > _RECENT:
            self._recent, self._older = {}, self._recent
        self._recent.update(group.added)
        for entry, leaf in zip(group.entries, group.leaves, strict=True):
            if entry.intent_id or entry.status == PENDING or leaf.startswith(OPENS):
                note_intent(self._open_intents, leaf, entry.id, self._number)

    def _roll(self, rotation: str = "") -> None:
        """Begin the next segment, and fill the one after it while nobody waits."""
        header = Header(
            self._slot,
            self._number + 1,
            self._frontier.size,
            tuple(self._frontier.hashes),
            self._offset,
            dict(self._open_intents),
            rotation,
        )
        self._fill()
        fd, offset = begin_segment(self._directory, header)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._number, self._offset, self._tainted = fd, header.number, offset, False
        self._fill_ahead()

    def _rotate(self) -> None:
        """Go on in a new segment under a new key, whose header has the old key's word for it."""
        following = self._rotation.create()
        self._roll(self._key.hand_over(following.verifier))
        self._key = following
        self._rotation.settle()

    def _fill(self) -> None:
        with self._filling:
            fill_spare(self._directory, self._segment_bytes)

    def _fill_ahead(self) -> None:
        def fill() -> None:
            with suppress(OSError):  # no room: the next roll tries again, and says why it cannot
                self._fill()

        threading.Thread(target=fill, name=f"audit-{self._slot}-spare", daemon=True).start()

    def _check_storage(self) -> None:
        """Notice that the file being written is no longer the journal's: unlinked, or another in its place."""
        path = segment_path(self._directory, self._number)
        try:
            found = path.stat()
        except OSError as error:
            raise AuditError(f"{path} has gone: {error.strerror}") from error
        mine = os.fstat(self._fd)
        if (found.st_ino, found.st_dev) != (mine.st_ino, mine.st_dev):
            raise AuditError(f"{path} was replaced by another file")

    def _clock_entries(self) -> list[Entry]:
        offset = time.time_ns() - time.monotonic_ns()
        change, self._clock_offset = offset - self._clock_offset, offset
        if abs(change) < CLOCK_TOLERANCE_NS:
            return []
        return [Entry(action=Action.CLOCK_CHANGED, reason="CLOCK_CHANGED", metadata={"change_ms": change // 1_000_000})]

    def _recover(self, cause: Exception) -> bool:
        """Refuse what comes until storage takes an empty segment again, or keys; false when told to end meanwhile."""
        while True:
            try:
                self._check_restored()
                if isinstance(cause, KeysUnavailable):
                    self._sealer.confirm()
                else:
                    self._roll()
            except (OSError, AuditError) as error:
                if not self._refuse_for(RETRY_S, str(error)):
                    return False
            else:
                self._recovered()
                return True

    def _refuse_for(self, seconds: float, reason: str) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                pending = self.queue.get(timeout=left)
            except Empty:
                return True
            if pending is None:
                return False
            self._settle([pending], reason)
        return True

    def _check_restored(self) -> None:
        """Put the acknowledged part of an unlinked or replaced segment back in its place, from the open file."""
        path = segment_path(self._directory, self._number)
        try:
            self._check_storage()
        except AuditError:
            data = os.pread(self._fd, self._offset, 0)
            if path.exists():
                path.rename(path.with_suffix(f".replaced-{time.time_ns()}"))
            write_durably(path, data, FILE_MODE)


class _Group:
    """The entries of one commit being gathered, with the tree as it will be."""

    def __init__(self, frontier: Frontier, known: tuple[dict[str, int], ...]) -> None:
        self.frontier, self.entries, self.leaves = frontier, list[Entry](), list[bytes]()
        self.added: dict[str, int] = {}
        self._known = (self.added, *known)

    def place(self, entry: Entry) -> int:
        """Where the entry lies: where one of its id already does, else behind the last one."""
        identity = entry.id
        for known in self._known:
            if identity in known:
                return known[identity]
        self.added[identity] = position = self.frontier.size + len(self.entries)
        self.entries.append(entry)
        return position
