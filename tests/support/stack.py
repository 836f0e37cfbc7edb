"""A whole stack for tests: `stockade up` in a temporary place, with an origin and a name server of its own on loopback.

`stack` is one for the session; what a test does to it, it undoes. Tests that break a stack start their own by
`running_stack`.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import dns, memory, origins

ROOT = Path(__file__).parents[2]
STOCKADE = ROOT / ".venv/bin/stockade"
ALLOWED, REFUSED = "api.github.com", "example.com"
"""What the shipped policy of test-generator allows and does not; ALLOWED resolves to the test's own origin."""


@dataclass
class Stack:
    """A stack that runs, and the world that its gate can reach."""

    run_dir: Path
    state_dir: Path
    environment: Mapping[str, str]
    origin: origins.Origin
    zone: dns.Zone = field(repr=False)

    def stockade(self, *words: str, stdin: str | bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command against this stack, to its end."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [STOCKADE, *words],
            input=data,
            check=False,
            capture_output=True,
            env=os.environ | self.environment | environment,
            timeout=100,
        )
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    def run(self, *command: str, **options: str) -> subprocess.CompletedProcess[str]:
        """`stockade run` of a shell command, as a test-generator."""
        flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value) if word]
        return self.stockade("run", "--agent-type", "test-generator", *flags, "--", *command)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The session's stack."""
    if os.geteuid() != 0:
        pytest.skip("a stack needs root")
    with running_stack() as running:
        yield running


@contextmanager
def running_stack(**settings: str) -> Iterator[Stack]:
    """A stack of its own; `settings` are further variables of its environment."""
    with placed_stack(**settings) as placed:
        done = placed.stockade("up")
        assert done.returncode == 0, done.stderr + _logs(placed.state_dir)
        yield placed


@contextmanager
def placed_stack(**settings: str) -> Iterator[Stack]:
    """A stack that is not up yet, and certainly down afterwards."""
    with (
        _short_directory() as run_dir,
        _short_directory() as state_dir,
        memory.record_of(state_dir),
        _world() as (origin, zone),
    ):
        environment = {
            "STOCKADE_STACK_RUN_DIR": str(run_dir),
            "STOCKADE_STACK_STATE_DIR": str(state_dir),
            "STOCKADE_STACK_UID_BASE": str(1_800_000_000 + os.getpid() % 10_000 * 1_000 + _next()),
            "STOCKADE_GATE_PRODUCTION": "false",
            "STOCKADE_GATE_EXCEPTIONS": origin.endpoint,
            "STOCKADE_GATE_RESOLVERS": zone.address,
            **settings,
        }
        placed = Stack(run_dir, state_dir, environment, origin, zone)
        try:
            yield placed
        finally:
            placed.stockade("down")


@contextmanager
def _short_directory() -> Iterator[Path]:
    """Pytest's own are too long for sockets, and closed to other uids."""
    directory = Path(tempfile.mkdtemp(prefix="sk-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


_started = 0


def _next() -> int:
    """A number of its own for each stack of this session, a uid range and an address hang on it."""
    global _started
    _started += 10
    return _started


@contextmanager
def _world() -> Iterator[tuple[origins.Origin, dns.Zone]]:
    """An origin on port 80 of a loopback address, and the name server that leads ALLOWED there."""
    address = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}.{_started // 10 % 250 + 1}"
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    exits = AsyncExitStack()

    async def enter() -> tuple[origins.Origin, dns.Zone]:
        origin = await exits.enter_async_context(origins.origin(address, port=80))
        zone = await exits.enter_async_context(dns.serving(dns.Zone({ALLOWED: [address]})))
        return origin, zone

    try:
        yield asyncio.run_coroutine_threadsafe(enter(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(exits.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _logs(state_dir: Path) -> str:
    """The end of every log, for a stack that did not come up."""
    ends = (f"\n== {path.name}\n{path.read_text()[-2000:]}" for path in sorted((state_dir / "logs").glob("*.log")))
    return "".join(ends)
