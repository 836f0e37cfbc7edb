"""kill -9 between effect and outcome of every RPC that announces itself: the intent is there, and is closed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from stockade_rpckit import contract

from support import stalling_service
from support.auditd import eventually
from support.journals import leaves
from support.stalling_service import intents, path, request_of

PLACES = {contract.OPERATOR: "operators/ada", contract.SERVICE: "services", contract.AGENT: "gate"}
AGENT = (("x-stockade-sandbox", "sb-aaaaaaaaaaaa"), ("x-stockade-agent", "a-1"), ("x-stockade-agent-type", "default"))


def start(base: Path) -> "subprocess.Popen[bytes]":
    for place in PLACES.values():
        (base / "run" / place).mkdir(parents=True, exist_ok=True)
    given = {"STOCKADE_STALL_RUN_DIR": str(base / "run"), "STOCKADE_STALL_STATE_DIR": str(base / "state")}
    process = subprocess.Popen([sys.executable, stalling_service.__file__], env={**os.environ, **given})
    with grpc.insecure_channel(f"unix:{base}/run/services/stall.sock") as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
    return process


def call(channels: dict[int, grpc.Channel], method: Any) -> Any:
    """Begin a call as the first kind of caller that may make it."""
    caller = next(c for c in PLACES if c in contract.method(path(method)).callers)
    kind = ("stream" if method.client_streaming else "unary") + "_" + ("stream" if method.server_streaming else "unary")
    make = getattr(channels[caller], kind)
    stub = make(
        path(method), request_serializer=type(request_of(method)).SerializeToString, response_deserializer=bytes
    )
    request = iter([request_of(method)]) if method.client_streaming else request_of(method)
    metadata = AGENT if caller == contract.AGENT else ()
    return stub(request, metadata=metadata) if method.server_streaming else stub.future(request, metadata=metadata)


def test_every_intent_is_closed_after_a_kill(base: Path) -> None:
    methods = list(intents())
    assert {m.containing_service.file.package.split(".")[1] for m in methods} >= {
        "audit",
        "embeddingcache",
        "networkpolicy",
        "sandbox",
    }
    process = start(base)
    channels = {
        caller: grpc.insecure_channel(f"unix:{base}/run/{place}/stall.sock") for caller, place in PLACES.items()
    }
    under_way = [call(channels, method) for method in methods]
    effects = base / "state" / "effects"
    eventually(lambda: {file.name for file in effects.iterdir()} == {method.name for method in methods}, 30)
    process.kill()
    process.wait()
    for channel in channels.values():
        channel.close()
    del under_way

    journal = base / "state" / "audit" / "journals" / "stall-0"
    announced = {leaf["method"]: leaf["id"] for leaf in leaves(journal) if leaf["action"] == "INTENT"}
    assert {name.rpartition("/")[2] for name in announced} == {method.name for method in methods}

    process = start(base)
    closed = {leaf["intent_id"]: leaf for leaf in leaves(journal) if leaf["action"] == "OUTCOME_UNKNOWN"}
    process.terminate()
    process.wait()
    assert set(closed) == set(announced.values())
    assert {closed[identity]["method"] for identity in announced.values()} == set(announced)
