"""A service that only appends: `python appender.py ROOT SLOT`; prints each id once its entry is acknowledged."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stockade_audit import new_entry_id

from support.journals import entry, open_journal


async def main(root: Path, slot: str) -> None:
    """Append from sixteen tasks until killed."""
    journal = open_journal(root, slot, segment_bytes=1 << 18)

    async def append() -> None:
        while True:
            identity = new_entry_id()
            await journal.append(entry(id=identity))
            sys.stdout.write(f"{identity}\n")
            sys.stdout.flush()

    await asyncio.gather(*(append() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
