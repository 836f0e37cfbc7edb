"""A fleet: twenty agents of four types at once, each in a sandbox of its own, behind its type's policy.

    .venv/bin/python examples/fleet/fleet.py [HOST]

Each works on its share of a sum, asks for a page of HOST, and says what became of it. A refusal is part of the story.
"""

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass

from stockade_agent import AsyncSandbox, AsyncStockade

AGENTS = 20
TYPES = ("test-generator", "security-scanner", "code-reviewer", "default")
NUMBERS = 1000

WORK = """
import os, sys, urllib.error, urllib.request
first, last, host = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
print(sum(n * n for n in range(first, last)))
try:
    print(urllib.request.urlopen(f"http://{host}/", timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print(0)
"""


@dataclass(frozen=True)
class Report:
    """What one agent brought: its share, the status of its request (0: it has no way out), and its seconds."""

    agent: str
    agent_type: str
    share: int
    status: int
    seconds: float


async def work(stockade: AsyncStockade, number: int, host: str) -> Report:
    """One agent's life."""
    begun = time.perf_counter()
    agent_type = TYPES[number % len(TYPES)]
    first, last = number * NUMBERS // AGENTS, (number + 1) * NUMBERS // AGENTS
    async with AsyncSandbox(stockade, agent=f"fleet-{number}", agent_type=agent_type) as sandbox:
        done = await sandbox.run("python3", "-c", WORK, str(first), str(last), host, timeout=60)
        if not done.ending.ok:
            raise SystemExit(f"fleet-{number}: {done.ending.detail}\n{done.stderr.decode()}")
    share, status = map(int, done.stdout.split())
    return Report(f"fleet-{number}", agent_type, share, status, time.perf_counter() - begun)


async def main(host: str) -> None:
    async with AsyncStockade.connect() as stockade:
        reports = await asyncio.gather(*(work(stockade, number, host) for number in range(AGENTS)))
    for report in reports:
        print(f"{report.agent:9} {report.agent_type:17} {report.share:>11} {report.status}  {report.seconds:5.2f} s")
    total = sum(report.share for report in reports)
    print(f"sum of squares below {NUMBERS}: {total}")
    for agent_type in TYPES:
        answers = Counter(report.status for report in reports if report.agent_type == agent_type)
        print(f"{agent_type}: {', '.join(f'{count} × {status}' for status, count in sorted(answers.items()))}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if sys.argv[1:] else "api.github.com"))
