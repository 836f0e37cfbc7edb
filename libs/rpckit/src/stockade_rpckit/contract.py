"""What the contract says of each RPC: who may call it and how a call is recorded.

Read from the descriptors of the generated stubs, so that the options in the .proto files are the only place where it
is written down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool
from opentelemetry import trace
from stockade.options.v1 import options_pb2

from stockade_rpckit import tracing

OPERATOR = options_pb2.CALLER_OPERATOR
AUDITOR = options_pb2.CALLER_AUDITOR
AGENT = options_pb2.CALLER_AGENT
SERVICE = options_pb2.CALLER_SERVICE
ANYONE = options_pb2.CALLER_ANYONE

INTENT = options_pb2.RECORDING_INTENT
AFTER = options_pb2.RECORDING_AFTER
FOLDED = options_pb2.RECORDING_FOLDED
NONE = options_pb2.RECORDING_NONE


_SILENT = trace.NoOpTracer()


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC as the contract has it. `callers` are values of `Caller`, `recording` one of `Recording`.

    `spans` are what is left of this second's spans of calls served, None where each call is to have one.
    """

    path: str
    callers: frozenset[int]
    recording: int
    spans: tracing.Budget | None = None

    @property
    def name(self) -> str:
        """The RPC's own name, without package and service."""
        return self.path.rpartition("/")[2]

    @property
    def tracer(self) -> trace.Tracer:
        """What makes spans of its calls: none of what is not recorded. Health checks would be noise, and a span for
        each export of spans would never end."""
        return tracing.tracer() if self.recording != NONE else _SILENT

    @property
    def unary_name(self) -> str:
        """`package.Service/Method`, the form that telemetry uses."""
        return self.path.lstrip("/")


FOREIGN: Mapping[str, tuple[frozenset[int], int]] = {
    "grpc.health.v1.Health": (frozenset({ANYONE}), NONE),
    "grpc.reflection.v1alpha.ServerReflection": (frozenset({ANYONE}), NONE),
    "grpc.reflection.v1.ServerReflection": (frozenset({ANYONE}), NONE),
    # The copy of the record that every part of the stack sends; an agent may not write spans of others.
    "opentelemetry.proto.collector.trace.v1.TraceService": (frozenset({SERVICE, OPERATOR}), NONE),
}
"""Services of others that we serve, and what our options would say of them."""


@cache
def method(path: str) -> Method:
    """The contract of "/package.Service/Method". Raises KeyError for one that is in no contract we know."""
    service, _, name = path.lstrip("/").partition("/")
    if service in FOREIGN:
        callers, recording = FOREIGN[service]
        return Method(path, callers, recording)
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    extensions: Any = descriptor.GetOptions().Extensions  # typed for extensions that a generator of mypy's own knows
    callers, recording = frozenset(extensions[options_pb2.callers]), int(extensions[options_pb2.recording])
    limit = int(extensions[options_pb2.spans_per_second])
    return Method(path, callers, recording, tracing.Budget(limit) if limit else None)
