"""The embedding cache for tests: a clock that turns, entries, and the service as a process of its own."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as rpc
from stockade.embeddingcache.v1 import vector_pb2
from stockade_embedding_cache.domain.entry import Entry
from stockade_embedding_cache.domain.vector import Dtype, Format

START = 1_800_000_000.0
F32_4 = Format(4, Dtype.F32)


@dataclass
class TurnedClock:
    """Seconds since 1970 that pass only when a test says so."""

    now: float = START

    def __call__(self) -> float:
        return self.now


def key(name: object) -> bytes:
    """A key for a test's name."""
    return hashlib.sha256(str(name).encode()).digest()


def vector(name: object, dimensions: int = 4) -> bytes:
    """The one right vector of a name: packed f32 that no other name has."""
    seed = int.from_bytes(key(name)[:8], "big")
    return np.random.default_rng(seed).standard_normal(dimensions).astype("<f4").tobytes()


def entry(name: object, *, life: float = 3600, writer: str = "agent/a", now: float = START, size: int = 4) -> Entry:
    """An entry that holds the right vector of `name`."""
    return Entry(Format(size, Dtype.F32), vector(name, size), writer, now, now + life)


def f32(dimensions: int) -> vector_pb2.VectorFormat:
    """The contract's f32 format."""
    return vector_pb2.VectorFormat(dimensions=dimensions, dtype=vector_pb2.DTYPE_F32)


def bits(bitmap: bytes, count: int) -> list[bool]:
    """A bitmap of the contract as booleans."""
    return [bool(b) for b in np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")[:count]]


def agent_headers(agent: str, agent_type: str = "qe-test-generator") -> tuple[tuple[str, str], ...]:
    """What the gate's door says of an agent."""
    return (
        ("x-stockade-sandbox", "sb-abcdefghijkl"),
        ("x-stockade-agent", agent),
        ("x-stockade-agent-type", agent_type),
    )


class _Caller:
    """A stub whose calls carry the headers of one agent."""

    def __init__(self, stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub, self._metadata = stub, metadata

    def __getattr__(self, rpc_name: str) -> Any:
        method = getattr(self._stub, rpc_name)
        return lambda request, **options: method(request, metadata=self._metadata, **options)


@dataclass
class ServedCache:
    """A running service: its directories, and stubs for whoever calls."""

    root: Path
    process: subprocess.Popen[bytes]
    channels: list[grpc.Channel] = field(default_factory=list)

    def stub(self, place: str, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
        """A sync stub on a directory of run_dir, e.g. "operators/ada"."""
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(f"unix:{self.root}/run/{place}/cache.sock", options=options)
        self.channels.append(channel)
        return _Caller(rpc.EmbeddingCacheServiceStub(channel), metadata)  # type: ignore[no-untyped-call]

    def operator(self) -> Any:
        """Ada, who runs the place."""
        return self.stub("operators/ada")

    def agent(self, name: str, agent_type: str = "qe-test-generator") -> Any:
        """An agent as the gate's door lets it in."""
        return self.stub("gate", agent_headers(name, agent_type))

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self.root / "log").read_text()

    def kill(self) -> None:
        """SIGKILL, now."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Stop it as its supervisor would, and hang up."""
        for channel in self.channels:
            channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(15)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def start_cache(root: Path, settings: Mapping[str, object] | None = None) -> ServedCache:
    """Start the service on directories below `root` and wait until it serves."""
    for place in ("operators/ada", "auditors/eve", "services", "gate"):
        (root / "run" / place).mkdir(parents=True, exist_ok=True)
    told = {"run_dir": root / "run", "state_dir": root / "state", **(settings or {})}
    environment = os.environ | {f"STOCKADE_CACHE_{name.upper()}": str(value) for name, value in told.items()}
    with (root / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "stockade_embedding_cache"], env=environment, stderr=log)
    served = ServedCache(root, process)
    deadline = time.monotonic() + 20
    while not _answers(root / "run/gate/cache.sock"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the service did not start: {served.log}")
        time.sleep(0.02)
    return served


@contextmanager
def served_cache(root: Path, **settings: object) -> Iterator[ServedCache]:
    """The service, for as long as the block runs."""
    served = start_cache(root, settings)
    try:
        yield served
    finally:
        served.close()
