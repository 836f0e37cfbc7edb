"""network-policy as a process of its own: stubs on its sockets as each kind of principal, and its record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stockade.networkpolicy.v1 import (
    decision_service_pb2_grpc,
    lease_service_pb2_grpc,
    limit_service_pb2_grpc,
    policy_service_pb2_grpc,
)
from stockade_cli.stack.process import favour

from support import memory
from support.journals import leaves


class Caller:
    """The service's stubs as one principal sees them."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.policies = policy_service_pb2_grpc.PolicyServiceStub(channel)
        self.decisions = decision_service_pb2_grpc.DecisionServiceStub(channel)
        self.limits = limit_service_pb2_grpc.LimitServiceStub(channel)
        self.leases = lease_service_pb2_grpc.LeaseServiceStub(channel)


class PolicyService:
    """A process and what it left behind."""

    def __init__(self, directory: Path, slot: str = "0", **settings: str) -> None:
        """Replicas share the directory's state, each with a slot of its own."""
        self.run_dir, self.state_dir = directory / f"r{slot}", directory / "s"
        self._slot = slot
        for place in ("operators/ana", "auditors/otto", "services", "gate"):
            (self.run_dir / place).mkdir(parents=True, exist_ok=True)
        self.state_dir.mkdir(exist_ok=True)
        self._settings = settings
        self._channels: list[grpc.Channel] = []

    def start(self) -> None:
        """Starts the process and waits until it serves."""
        with (self.state_dir / f"log-{self._slot}").open("ab") as log:
            self.process = self.spawn(stderr=log)
        channel = self._channel("services")
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=20)

    def spawn(self, stderr: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[str]:
        """The bare process, whatever comes of it; put before others as a stack puts its own."""
        environment = {
            "STOCKADE_POLICY_RUN_DIR": str(self.run_dir),
            "STOCKADE_POLICY_STATE_DIR": str(self.state_dir),
            "STOCKADE_POLICY_SLOT": self._slot,
            **{f"STOCKADE_POLICY_{name.upper()}": value for name, value in self._settings.items()},
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "stockade_network_policy"],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
        )
        favour(process.pid)
        return process

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends the process, and every channel to it."""
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        self.process.send_signal(number)
        self.process.communicate(timeout=20)

    @property
    def operator(self) -> Caller:
        """As the operator ana."""
        return Caller(self._channel("operators/ana"))

    @property
    def auditor(self) -> Caller:
        """As the auditor otto."""
        return Caller(self._channel("auditors/otto"))

    @property
    def service(self) -> Caller:
        """As another service."""
        return Caller(self._channel("services"))

    def agent(self, name: str, agent_type: str, sandbox: str = "sb-one") -> Caller:
        """As an agent, whose door wrote these headers."""
        headers = (
            ("x-stockade-agent", name),
            ("x-stockade-agent-type", agent_type),
            ("x-stockade-sandbox", sandbox),
        )
        return Caller(grpc.intercept_channel(self._channel("gate"), _Headers(headers)))

    def entries(self, **wanted: Any) -> list[dict[str, Any]]:
        """The record's entries so far whose fields are these."""
        found = leaves(self.state_dir / "audit" / "journals" / f"policy-{self._slot}")
        return [entry for entry in found if wanted.items() <= entry.items()]

    def health(self, part: str) -> bool:
        """What the service's health says of a part of it; of all of it under an empty name."""
        request = health_pb2.HealthCheckRequest(service=part)
        answer = health_pb2_grpc.HealthStub(self._channel("services")).Check(request, timeout=5)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _channel(self, place: str) -> grpc.Channel:
        channel = grpc.insecure_channel(f"unix:{self.run_dir}/{place}/policy.sock")
        self._channels.append(channel)
        return channel


class _Headers(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends the headers that a door would have written."""

    def __init__(self, headers: tuple[tuple[str, str], ...]) -> None:
        self._headers = headers

    def _go(self, proceed: Any, details: Any, request: Any) -> Any:
        class Details(grpc.ClientCallDetails):
            method, timeout, credentials = details.method, details.timeout, details.credentials
            metadata = (*(details.metadata or ()), *self._headers)
            wait_for_ready, compression = details.wait_for_ready, details.compression

        return proceed(Details(), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = _go


@contextmanager
def policy_service(**settings: str) -> Iterator[PolicyService]:
    """A served process in a directory with a short name; nothing of it stays."""
    with tempfile.TemporaryDirectory(prefix="sp-", dir=memory.place()) as directory:
        service = PolicyService(Path(directory), **settings)
        service.start()
        try:
            yield service
        finally:
            service.stop(signal.SIGTERM if service.process.poll() is None else 0)


@contextmanager
def replicas(count: int, **settings: str) -> Iterator[list[PolicyService]]:
    """Several processes that share their store of policies."""
    with tempfile.TemporaryDirectory(prefix="sp-", dir=memory.place()) as directory:
        services = [PolicyService(Path(directory), slot=str(slot), **settings) for slot in range(count)]
        started: list[PolicyService] = []
        try:
            for service in services:
                service.start()
                started.append(service)
            yield services
        finally:
            for service in started:
                service.stop(signal.SIGTERM if service.process.poll() is None else 0)


def refusal(service: PolicyService) -> str:
    """The one line in which a process says that it cannot serve what it was told."""
    process = service.spawn()
    try:
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 2, said
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if line.startswith("stockade: "))
    return line


def eventually(condition: Callable[[], bool], within_s: float = 4.0) -> float:
    """Waits until it is so; returns the seconds that took. Raises AssertionError."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s
        time.sleep(0.02)
    return time.monotonic() - started


def failure(error: grpc.RpcError) -> tuple[str, str, list[str]]:
    """The status code, the reason, and the field violations that a failed call carried."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]  # type: ignore[attr-defined]
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(details).details:
        if not detail.Unpack(info):
            detail.Unpack(request)
    violations = [f"{v.field}: {v.description}" for v in request.field_violations]
    return error.code().name, info.reason, violations  # type: ignore[attr-defined]
