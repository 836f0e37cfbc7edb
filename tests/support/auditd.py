"""The audit daemon as a process, with an operator, an auditor, services and agents before it."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import grpc
from stockade.audit.v1 import (
    audit_service_pb2 as audit,
)
from stockade.audit.v1 import (
    audit_service_pb2_grpc,
    entry_pb2,
    integrity_service_pb2_grpc,
    trace_service_pb2_grpc,
)

T = TypeVar("T")


@dataclass
class Auditd:
    """Settings by name go into its environment; `prefix` is a command that starts it elsewhere."""

    base: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    channels: list[grpc.Channel] = field(default_factory=list)
    prefix: Sequence[str] = ()

    @property
    def journals(self) -> Path:
        return self.base / "state" / "audit" / "journals"

    @property
    def witness(self) -> Path:
        return self.base / "state" / "audit" / "witness"

    def start(self) -> "Auditd":
        for place in ("operators/ada", "auditors/eve", "services", "gate"):
            (self.base / "run" / place).mkdir(parents=True, exist_ok=True)
        places = {"RUN_DIR": str(self.base / "run"), "STATE_DIR": str(self.base / "state")}
        given = {f"STOCKADE_AUDIT_{name}": value for name, value in {**places, **self.settings}.items()}
        command = [*self.prefix, sys.executable, "-m", "stockade_audit.daemon"]
        with (self.base / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **given}, stderr=log)
        grpc.channel_ready_future(self.channel("services")).result(timeout=20)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        for channel in self.channels:
            channel.close()
        self.channels.clear()
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def channel(self, place: str) -> grpc.Channel:
        channel = grpc.insecure_channel(f"unix:{self.base}/run/{place}/audit.sock")
        self.channels.append(channel)
        return channel

    def entries(self, place: str = "operators/ada") -> Any:
        return audit_service_pb2_grpc.AuditServiceStub(self.channel(place))

    def integrity(self, place: str = "operators/ada") -> Any:
        return integrity_service_pb2_grpc.IntegrityServiceStub(self.channel(place))

    def traces(self, place: str = "operators/ada") -> Any:
        return trace_service_pb2_grpc.TraceServiceStub(self.channel(place))

    def until_indexed(self, slot: str, size: int) -> None:
        """Wait until so many entries of a journal are indexed."""
        stub = self.entries("auditors/eve")

        def indexed() -> bool:
            through = stub.GetStats(audit.GetStatsRequest()).indexed_through
            return any(state.journal == slot and state.size >= size for state in through)

        eventually(indexed)


def members(entry: entry_pb2.Entry) -> dict[str, Any]:
    """The members of a leaf, opened by what came with it and fits."""
    found = json.loads(entry.leaf)
    sealed = found.pop("sealed", [])
    for opening in entry.openings:
        assert sha256(opening.salt + opening.value).digest() == base64.b64decode(sealed[opening.part]["hash"])
        found |= json.loads(opening.value)
    return dict(found)


def eventually(holds: Callable[[], T], within: float = 10.0) -> T:
    """What the function gives once that is true."""
    deadline = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found
