"""`stockade audit` as tests run it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stockade_audit import Entry

from support.auditd import Auditd
from support.journals import SLOT, open_journal

STOCKADE = Path(sys.executable).with_name("stockade")


def stockade(auditd: Auditd, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """The command as ada."""
    return subprocess.run(
        [STOCKADE, "--run-dir", auditd.base / "run", *arguments],
        env={**os.environ, "STOCKADE_STACK_OPERATOR": "ada"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        **options,
    )


def record(auditd: Auditd, *entries: Entry) -> None:
    async def work() -> None:
        journal = open_journal(auditd.journals)
        await journal.append_many(entries)
        journal.close()

    asyncio.run(work())
    auditd.until_indexed(SLOT, len(entries))
