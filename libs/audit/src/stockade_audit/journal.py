"""The journal of one service slot, as the service's event loop sees it.

    journals/<slot>/  00000000.seg …  spare  lock  signing.key (0600)  signing.pub
    journals/<slot>.rotate  the key that is to be replaced, when the daemon asks for that

Directories are made 0750 and files 0640, with the set-group-id bit, so that all of it belongs to the group of
`journals/` itself: make that directory `root:stockade-audit`, mode 2770, and let the services and the daemon be in that
group. Services write their own slot only (they own its files); the daemon reads all of them.
"""

import asyncio
import fcntl
import os
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from stockade_audit.entry import Action, Entry, format_time
from stockade_audit.errors import AuditError, RecordUnavailable, SlotBusy
from stockade_audit.keys import SigningKey
from stockade_audit.keystore import KeyStore
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_audit.pseudonyms import Pseudonym, pseudonyms
from stockade_audit.recovery import find_leaves, recover
from stockade_audit.replication import Replication
from stockade_audit.rotation import finish_rotation, key_name
from stockade_audit.sealing import Opener, Sealer
from stockade_audit.segment import SEGMENT_BYTES
from stockade_audit.writer import Pending, Writer

MAX_WAIT_S: Final = 0.25
_SLOT = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_COPIED = ("principal_kind", "principal", "agent", "agent_type", "sandbox", "resource", "domain", "method", "trace_id")


@dataclass(slots=True)
class _Waiting:
    """One append whose caller waits, until `deadline` on the loop's clock."""

    pending: Pending
    future: "asyncio.Future[int]"
    deadline: float


@dataclass(slots=True)
class _Refusals:
    """What was refused since the record could last be written."""

    count: int = 0
    since_ns: int = 0
    until_ns: int = 0
    reason: str = ""

    def add(self, count: int, reason: str) -> None:
        now = time.time_ns()
        self.since_ns = self.since_ns or now
        self.count, self.until_ns, self.reason = self.count + count, now, reason


class Journal:
    """Appends entries to a slot and answers when they are durable. Use it from one event loop."""

    def __init__(
        self,
        writer: Writer,
        lock: IO[bytes],
        keys: KeyStore,
        found_open: dict[str, dict[str, object]],
        replication: Replication | None = None,
    ) -> None:
        self._lock, self._keys = lock, keys
        self._pseudonym = pseudonyms(keys.pseudonym_key())
        self._replication = replication
        self.on_durable: Callable[[float], None] | None = None
        """Told how many seconds each append took that became durable."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[_Waiting] = deque()
        self._gathered: list[Pending] = []
        self._ends_turn = False  # whether what is gathered is handed over at the end of this turn of the loop
        self._timer: asyncio.TimerHandle | None = None
        self._refusals = _Refusals()
        self._unavailable = ""
        self._writer = writer
        writer.start(self._settle_soon, self._recovered_soon)
        self._close_intents(found_open)

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        service: str,
        slot: str,
        segment_bytes: int = SEGMENT_BYTES,
        keys: KeyStore | None = None,
        copied: Path | None = None,
    ) -> "Journal":
        """Open (or begin) the journal of `slot` under `root`, continue where it ended, and hold its lock.

        `keys` seal what is personal; by default those of the directory `keys` beside `root`.
        `copied` is the daemon's socket that says what the copy beyond this machine has: then an append is done only
        when the copy has it too.
        Intents found open are closed as OUTCOME_UNKNOWN. Raises SlotBusy when another process has the slot,
        JournalDamaged when its files are not what a writer left, AuditError when they cannot be used.
        """
        if not _SLOT.fullmatch(slot):
            raise AuditError(f"{slot!r} is no slot: use lower-case letters, digits, dots and dashes, at most 63")
        directory = root / slot
        try:
            _make_directories(root, directory)
            lock = _lock(directory)
        except OSError as error:
            raise AuditError(f"cannot use the journal {directory}: {error.strerror}") from error
        try:
            finish_rotation(directory)
            key = SigningKey.load_or_create(directory / "signing.key", key_name(slot))
            standing = recover(directory, key.verifier)
            keys = keys or SqliteKeyStore(root.with_name("keys"))
            opener = Opener(keys)
            leaves = find_leaves(directory, standing.open_intents) if standing else {}
            found_open = {identity: opener.open(leaf).fields for identity, leaf in leaves.items()}
            writer = Writer(directory, slot, Sealer(keys, slot, service), key, standing, segment_bytes)
            return cls(writer, lock, keys, found_open, Replication(copied, slot) if copied else None)
        except OSError as error:
            lock.close()
            raise AuditError(f"cannot use the journal {directory}: {error.strerror}") from error
        except BaseException:
            lock.close()
            raise

    async def append(self, entry: Entry) -> int:
        """Make the entry durable; returns its position. RecordUnavailable after 250 ms, or when it cannot be."""
        return await self.submit(entry)

    async def append_many(self, entries: Sequence[Entry]) -> int:
        """Make entries durable together; returns the position of the first. At most 1,024 at a time."""
        return await self._submit(list(entries))

    def submit(self, entry: Entry, linger_s: float = 0.0) -> "asyncio.Future[int]":
        """Start an append: a future of what `append` returns.

        One that nobody waits for may linger until another comes, so that one commit does for both.
        """
        return self._submit([entry], linger_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what was submitted, end the thread, give up the slot."""
        self._hand_over()
        if self._writer.stop(timeout_s):
            self._keys.close()
        if self._replication is not None:
            self._replication.stop()
        self._lock.close()

    @property
    def pseudonym(self) -> Pseudonym:
        """From an agent's id or a person's name to what copies of the record carry in its place."""
        return self._pseudonym

    @property
    def waiting(self) -> int:
        """How many appends wait to be durable."""
        return len(self._waiting)

    @property
    def unavailable(self) -> str:
        """Why appends are refused now; empty while they are not."""
        return self._unavailable

    def _submit(self, entries: list[Entry], linger_s: float = 0.0) -> "asyncio.Future[int]":
        loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        if self._unavailable:
            self._refuse(future, len(entries), self._unavailable)
            return future
        if self._replication is not None:
            self._replication.start(self._settle)
        pending = Pending(entries)
        self._waiting.append(_Waiting(pending, future, loop.time() + linger_s + MAX_WAIT_S))
        self._have_handed_over(loop, linger_s)
        self._gathered.append(pending)
        if self._timer is None:
            self._timer = loop.call_later(MAX_WAIT_S, self._watch_soon)
        return future

    def _have_handed_over(self, loop: asyncio.AbstractEventLoop, linger_s: float) -> None:
        """At the end of this turn of the loop, or once the first of those that linger has lingered long enough."""
        if not linger_s and not self._ends_turn:
            self._ends_turn = True
            loop.call_soon(self._hand_over)
        elif linger_s and not self._gathered:
            loop.call_later(linger_s, self._hand_over)

    def _hand_over(self) -> None:
        """Give the writer what one turn of the loop brought: waking it for each would cut the commits small."""
        self._ends_turn = False
        gathered, self._gathered = self._gathered, []
        for pending in gathered:
            self._writer.queue.put(pending)

    def _refuse(self, future: "asyncio.Future[int]", count: int, reason: str) -> None:
        self._refusals.add(count, reason)
        if not future.done():
            future.set_exception(RecordUnavailable(f"the audit record cannot be written: {reason}"))
            future.exception()  # a caller that went away must not be logged as never having looked

    def _watch_soon(self) -> None:
        """Watch once what the writer has told is settled: uvloop runs timers first, and a late loop is no hung disk."""
        assert self._loop is not None
        self._loop.call_soon(self._watch)

    def _watch(self) -> None:
        """Turn away whoever has waited too long. A writer that hangs is not waited for again until it is back."""
        assert self._loop is not None
        now = self._loop.time()
        for waiting in self._waiting:
            if waiting.deadline > now:
                break
            if not waiting.pending.refused:
                waiting.pending.refused = True
                self._unavailable = f"the journal was not written within {MAX_WAIT_S * 1000:.0f} ms"
                self._refuse(waiting.future, len(waiting.pending.entries), self._unavailable)
        still = next((w.deadline for w in self._waiting if not w.pending.refused), None)
        self._timer = None if still is None else self._loop.call_at(still, self._watch_soon)

    def _settle_soon(self, batch: list[Pending], failure: str | None) -> None:
        self._call_soon(self._settle if self._replication is None else self._replication.hold, batch, failure)

    def _recovered_soon(self) -> None:
        self._call_soon(self._recovered)

    def _call_soon(self, call: Any, *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _settle(self, batch: list[Pending], failure: str | None) -> None:
        late: list[str] = []
        for pending in batch:
            if not self._waiting or self._waiting[0].pending is not pending:
                continue  # nobody waits for the closing of found intents
            waiting = self._waiting.popleft()
            if failure is None and self.on_durable and self._loop:
                self.on_durable(max(0.0, self._loop.time() - waiting.deadline + MAX_WAIT_S))
            if failure is not None and not pending.refused:
                self._refuse(waiting.future, len(pending.entries), failure)
            elif failure is None and pending.refused and pending.positions:
                late += [entry.id for entry in pending.entries]
            elif failure is None and not waiting.future.done():
                waiting.future.set_result(pending.positions[0])
        if failure is None:
            self._recovered(late)
        else:
            self._unavailable = failure

    def _recovered(self, late: Sequence[str] = ()) -> None:
        """Take appends again, and say which entries came too late and what was refused."""
        self._unavailable = ""
        for identity in late:
            self._submit([Entry(action=Action.LATE, reason="CALLER_REFUSED", intent_id=identity)])
        if self._refusals.count:
            refusals, self._refusals = self._refusals, _Refusals()
            self._submit([_gap(refusals)])

    def _close_intents(self, found: dict[str, dict[str, object]]) -> None:
        for identity, fields in found.items():
            copied: dict[str, Any] = {name: fields[name] for name in _COPIED if name in fields}
            entry = Entry(action=Action.OUTCOME_UNKNOWN, reason="SERVICE_STOPPED", intent_id=identity, **copied)
            self._writer.queue.put(Pending([entry]))


def _gap(refusals: _Refusals) -> Entry:
    return Entry(
        action=Action.GAP,
        reason="RECORD_UNAVAILABLE",
        metadata={
            "refused": refusals.count,
            "since": format_time(refusals.since_ns),
            "until": format_time(refusals.until_ns),
            "cause": refusals.reason,
        },
    )


def _make_directories(root: Path, directory: Path) -> None:
    if not root.exists():
        root.mkdir(parents=True)
        root.chmod(0o2770)
    if not directory.exists():
        directory.mkdir()
        directory.chmod(0o2750)


def _take(lock: IO[bytes]) -> None:
    """Lock it; once more after a moment, since the daemon tries locks to learn which slots run."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.05)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock(directory: Path) -> IO[bytes]:
    lock = open(directory / "lock", "a+b")  # noqa: SIM115 - held until the journal is closed
    try:
        _take(lock)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().decode(errors="replace").strip() or "unknown"
        lock.close()
        raise SlotBusy(f"{directory} is held by process {holder}: stop it, or use another slot") from error
    os.ftruncate(lock.fileno(), 0)
    lock.write(str(os.getpid()).encode())
    lock.flush()
    return lock
