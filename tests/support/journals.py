"""Journals as tests make and read them."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from stockade_audit import Action, Entry, Journal
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_audit.reader import Follower
from stockade_audit.sealing import Opener

T = TypeVar("T")

SLOT = "test-0"
SMALL = 1 << 16  # bytes of a segment, so that a test sees several


def entry(number: int = 0, **fields: Any) -> Entry:
    """A decision like any other."""
    given = {"action": Action.ALLOWED, "agent": f"agent-{number % 3}", "domain": "api.example", "status": 200}
    return Entry(**{**given, **fields})


def open_journal(root: Path, slot: str = SLOT, **settings: Any) -> Journal:
    """The journal of a slot, with small segments unless told otherwise."""
    return Journal.open(root, service="test", slot=slot, **{"segment_bytes": SMALL, **settings})


def write(root: Path, batches: Iterable[int], slot: str = SLOT, **settings: Any) -> Path:
    """A closed journal with a commit for each number of entries; its directory."""

    async def work() -> None:
        journal = open_journal(root, slot, **settings)
        for count in batches:
            await journal.append_many([entry(n) for n in range(count)])
        journal.close()

    in_thread(asyncio.run, work())
    return root / slot


def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """The result of a function that must not run where an event loop does."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def leaves(directory: Path) -> list[dict[str, Any]]:
    """Every entry of a journal, in order, opened as far as keys are kept."""
    follower, keys = Follower(directory), SqliteKeyStore(directory.parent.with_name("keys"))
    opener, found = Opener(keys), list[dict[str, Any]]()
    while located := follower.poll():
        found += [opener.open(at.leaf).fields for at in located]
    follower.close()
    keys.close()
    return found
