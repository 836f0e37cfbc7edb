"""What every benchmark does alike: time it, put each figure beside its target and comparison, write them as JSON."""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Figure:
    """One measured value. `comparison` is what stands beside it, measured in the same run; `ratio` is value over it."""

    name: str
    value: float
    unit: str
    target: str
    comparison: dict[str, float] | None = None

    def document(self) -> dict[str, Any]:
        """As it is written: {name, value, unit, target, comparison, ratio}."""
        ratio = None
        if self.comparison:
            (other,) = self.comparison.values()
            ratio = round(self.value / other, 4) if other else None
        return {**asdict(self), "value": round(self.value, 4), "ratio": ratio}


def run(measure: Callable[[], Awaitable[list[Figure]]]) -> None:
    """Measure and write the figures to the path given by --output; the entry point of every benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True)
    output: Path = parser.parse_args().output
    figures = [figure.document() for figure in asyncio.run(measure())]  # type: ignore[arg-type]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures, indent=2) + "\n")


async def seconds_each(count: int, work: Callable[[], Awaitable[Any]]) -> list[float]:
    """Seconds that each of `count` runs of `work` took, one after another, in ascending order."""
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)


async def per_second(clients: int, calls: int, work: Callable[[], Awaitable[Any]]) -> float:
    """How many runs of `work` end in a second, `clients` at once with `calls` each."""

    async def client() -> None:
        for _ in range(calls):
            await work()

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return clients * calls / (time.perf_counter() - begun)


def p50(sorted_seconds: list[float]) -> float:
    """The median, in milliseconds."""
    return statistics.median(sorted_seconds) * 1000


def p99(sorted_seconds: list[float]) -> float:
    """The 99th percentile, in milliseconds."""
    return sorted_seconds[min(len(sorted_seconds) - 1, int(len(sorted_seconds) * 0.99))] * 1000


@contextmanager
def stack(**settings: str) -> Iterator[Path]:
    """A stack of its own in a temporary place, for as long as the block runs; yields its run_dir."""
    with tempfile.TemporaryDirectory(prefix="stockade-bench-", dir="/var/tmp") as state:
        run_dir = Path(tempfile.mkdtemp(prefix="sb", dir="/run"))
        command = [ROOT / ".venv/bin/stockade", "--run-dir", run_dir, "--state-dir", state]
        try:
            subprocess.run([*command, "up"], check=True, stdout=sys.stderr)
            yield run_dir
        finally:
            subprocess.run([*command, "down"], check=False, stdout=sys.stderr)
            subprocess.run(["rm", "-rf", run_dir], check=False)
