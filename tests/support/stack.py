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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support import dns, memory, origins
from support.loops import running_loop
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
    prefix: Sequence[str] = ()
    """A command that runs the command elsewhere."""
    program: Path = STOCKADE
    """The command."""

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
            [*self.prefix, self.program, *words],
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
        return subprocess.Popen(
            [*self.prefix, self.program, *words], env=environment, stdout=subprocess.PIPE, text=True
        )

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
    with placed_stack(None, (), **settings) as placed:
        done = placed.stockade("up")
        assert done.returncode == 0, done.stderr + _logs(placed.state_dir)
        yield placed


@contextmanager
def placed_stack(around: Outside | None = None, prefix: Sequence[str] = (), **settings: str) -> Iterator[Stack]:
    """A stack that is not up yet, and certainly down afterwards; in the world `around`, or else in one of its own."""
    with (
        short_directory() as run_dir,
        short_directory() as state_dir,
        memory.record_of(state_dir),
        nullcontext(around) if around else world(_addresses()) as outer,
    ):
        environment = {
            "STOCKADE_STACK_RUN_DIR": str(run_dir),
            "STOCKADE_STACK_STATE_DIR": str(state_dir),
            "STOCKADE_STACK_UID_BASE": str(1_800_000_000 + os.getpid() % 10_000 * 1_000 + _next()),
            "STOCKADE_GATE_PRODUCTION": "false",
            "STOCKADE_GATE_EXCEPTIONS": outer.exceptions,
            "STOCKADE_GATE_RESOLVERS": outer.zone.address,
            **settings,
        }
        placed = Stack(run_dir, state_dir, environment, outer, prefix)
        try:
            yield placed
        finally:
            placed.stockade("down")


@contextmanager
def short_directory() -> Iterator[Path]:
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


def _addresses() -> list[str]:
    """Three of loopback that no other stack of this session, and hardly one of another, has."""
    network = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
    return [f"{network}.{_started // 10 % 80 * 3 + number}" for number in (1, 2, 3)]


@contextmanager
def world(
    addresses: Sequence[str],
    resolver: str = "127.0.0.1",
    entered: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[Outside]:
    """The world on three addresses, in a thread of its own, which enters `entered` first; ALLOWED leads there."""
    exits = AsyncExitStack()

    async def enter(directory: Path) -> Outside:
        names = (ALLOWED, "ok.test", "*.wild.test")
        return await exits.enter_async_context(outside(addresses, directory, *names, resolver=resolver))

    with running_loop(entered) as loop, tempfile.TemporaryDirectory() as directory:
        try:
            found = asyncio.run_coroutine_threadsafe(enter(Path(directory)), loop).result(10)
            found.zone.names[ALLOWED] = [found.ok.address]
            yield found
        finally:
            asyncio.run_coroutine_threadsafe(exits.aclose(), loop).result(10)


def _logs(state_dir: Path) -> str:
    """The end of every log, for a stack that did not come up."""
    ends = (f"\n== {path.name}\n{path.read_text()[-2000:]}" for path in sorted((state_dir / "logs").glob("*.log")))
    return "".join(ends)
