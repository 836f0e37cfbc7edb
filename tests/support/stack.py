"""A whole stack for tests: `stockade up` in a temporary place, with an origin and a name server of its own on loopback.

`stack` is one for the session; what a test does to it, it undoes. Tests that break a stack start their own by
`running_stack`.
"""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support import dns, memory, origins
from support.outside import Outside, outside

ROOT = Path(__file__).parents[2]
STOCKADE = ROOT / ".venv/bin/stockade"
ALLOWED, REFUSED = "api.github.com", "example.com"
"""What the shipped policy of test-generator allows and does not; ALLOWED resolves to the test's own origin."""

_LIMITS = ("requests_per_minute", "requests_per_hour", "burst_size")
MANY = 100_000


@dataclass
class Stack:
    """A stack that runs, and the world that its gate can reach."""

    run_dir: Path
    state_dir: Path
    environment: Mapping[str, str]
    outside: Outside = field(repr=False)

    @property
    def origin(self) -> origins.Origin:
        """Where ALLOWED leads, on port 80."""
        return self.outside.ok.plain

    @property
    def zone(self) -> dns.Zone:
        """The gate's name server."""
        return self.outside.zone

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

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Begin the command and leave it running; its standard output can be read."""
        environment = os.environ | self.environment
        return subprocess.Popen([STOCKADE, *words], env=environment, stdout=subprocess.PIPE, text=True)

    @contextmanager
    def sandbox(self, agent: str, agent_type: str = "test-generator", **options: str) -> Iterator[str]:
        """A sandbox that lives as long as the block; yields its name."""
        made = self.stockade("sandbox", "create", "--agent-type", agent_type, "--agent", agent, *_flags(options))
        assert made.returncode == 0, made.stderr
        name = made.stdout.strip()
        try:
            yield name
        finally:
            self.stockade("sandbox", "stop", name)

    @contextmanager
    def policy(self, agent_type: str, *domains: str, **fields: int) -> Iterator[None]:
        """The policy of a type while the block runs; what it was comes back. Limits that are not given do not bind."""
        before = self.stockade("policy", "show", agent_type).stdout
        wanted = {"allowed_domains": list(domains), **dict.fromkeys(_LIMITS, MANY), **fields}
        self._apply(json.dumps({"policies": {agent_type: wanted}}))
        try:
            yield
        finally:
            self._apply(before)

    def _apply(self, text: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            applied = self.stockade("policy", "apply", file.name)
        assert applied.returncode == 0, applied.stderr

    def entries(self, agent: str, **filters: str) -> list[dict[str, Any]]:
        """What the record has of an agent, oldest first."""
        listed = self.stockade("audit", "list", "--agent", agent, "--oldest-first", "--json", *_flags(filters))
        assert listed.returncode == 0, listed.stderr
        document = json.loads(listed.stdout)
        found: list[dict[str, Any]] = document["entries"] if isinstance(document, dict) else document
        return found

    def run(self, *command: str, **options: str) -> subprocess.CompletedProcess[str]:
        """`stockade run` of a shell command, as a test-generator."""
        return self.stockade("run", "--agent-type", "test-generator", *_flags(options), "--", *command)


def _flags(options: Mapping[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value) if word]


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
        _world() as world,
    ):
        environment = {
            "STOCKADE_STACK_RUN_DIR": str(run_dir),
            "STOCKADE_STACK_STATE_DIR": str(state_dir),
            "STOCKADE_STACK_UID_BASE": str(1_800_000_000 + os.getpid() % 10_000 * 1_000 + _next()),
            "STOCKADE_GATE_PRODUCTION": "false",
            "STOCKADE_GATE_EXCEPTIONS": world.exceptions,
            "STOCKADE_GATE_RESOLVERS": world.zone.address,
            **settings,
        }
        placed = Stack(run_dir, state_dir, environment, world)
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
def _world() -> Iterator[Outside]:
    """The world on addresses of its own, in a thread of its own; ALLOWED leads there."""
    network = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
    addresses = [f"{network}.{_started // 10 % 80 * 3 + number}" for number in (1, 2, 3)]
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    exits = AsyncExitStack()

    async def enter(directory: Path) -> Outside:
        return await exits.enter_async_context(outside(addresses, directory, ALLOWED, "ok.test", "*.wild.test"))

    try:
        with tempfile.TemporaryDirectory() as directory:
            world = asyncio.run_coroutine_threadsafe(enter(Path(directory)), loop).result(10)
            world.zone.names[ALLOWED] = [world.ok.address]
            yield world
    finally:
        asyncio.run_coroutine_threadsafe(exits.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _logs(state_dir: Path) -> str:
    """The end of every log, for a stack that did not come up."""
    ends = (f"\n== {path.name}\n{path.read_text()[-2000:]}" for path in sorted((state_dir / "logs").glob("*.log")))
    return "".join(ends)
