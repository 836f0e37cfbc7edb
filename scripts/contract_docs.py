"""Writes what the contract says of itself: its descriptors as text, who may call what, and what is not served yet.

Everything is read from the descriptors and from the handler classes, so that it cannot differ from what runs.
"""

import importlib
import json
import pkgutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodOptions
from stockade.options.v1 import options_pb2
from stockade_rpckit.identity import SPIFFE_KINDS, rights

ROOT = Path(__file__).parents[1]
HANDLERS = (
    "stockade_sandbox.handlers",
    "stockade_network_policy.handlers",
    "stockade_embedding_cache.handlers",
    "stockade_audit.daemon",
)
READ_TIMEOUT, WRITE_TIMEOUT = "30s", "120s"
RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
NOTICE = "<!-- Generated from the contract by `make gen`. -->\n\n"
IDENTITY = ROOT / "docs" / "identity.md"
BEGIN, END = "<!-- Generated from the contract by `make gen`: begin -->\n", "<!-- end -->\n"


def main() -> None:
    files = _files()
    (ROOT / "protos" / "descriptors.txtpb").write_text(text_format.MessageToString(files))
    methods = [method for service in _services(files) for method in service.methods]
    served = _served_methods()
    (ROOT / "libs/stubs/src/stockade/service_config.json").write_text(_service_config(methods))
    (ROOT / "docs" / "contract.md").write_text(_contract_page(methods, served))
    IDENTITY.write_text(_with_callers(IDENTITY.read_text(), methods))
    (ROOT / "docs" / "not-served-yet.md").write_text(_gaps_page([m for m in methods if m.full_name not in served]))


def _files() -> FileDescriptorSet:
    """Stockade's own files of the contract, dependencies left out."""
    command = [ROOT / ".venv/bin/buf", "build", ".", "--exclude-source-info", "--output", "-#format=binpb"]
    image = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    files = FileDescriptorSet.FromString(image)
    ours = sorted((f for f in files.file if f.package.startswith("stockade.")), key=lambda f: f.name)
    for file in ours:
        importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
        file.DiscardUnknownFields()
    return FileDescriptorSet(file=ours)


def _services(files: FileDescriptorSet) -> Iterator[ServiceDescriptor]:
    pool = descriptor_pool.Default()
    for file in files.file:
        yield from (pool.FindServiceByName(f"{file.package}.{service.name}") for service in file.service)


def _served_methods() -> set[str]:
    """Full names of the RPCs that a handler overrides, e.g. "stockade.sandbox.v1.ExecService.Exec"."""
    return {name for package in HANDLERS for cls in _classes(package) for name in _overridden(cls)}


def _classes(package: str) -> Iterator[type]:
    module = importlib.import_module(package)
    names = [package] + [f"{package}.{m.name}" for m in pkgutil.walk_packages(module.__path__)]
    for name in names:
        if not name.endswith("__main__"):
            yield from (value for value in vars(importlib.import_module(name)).values() if isinstance(value, type))


def _overridden(cls: type) -> Iterator[str]:
    for base in cls.__mro__[1:]:
        if base.__name__.endswith("Servicer") and base.__module__.startswith("stockade."):
            package = base.__module__.rpartition(".")[0]
            service = f"{package}.{base.__name__.removesuffix('Servicer')}"
            yield from (f"{service}.{name}" for name in vars(base) if getattr(cls, name) is not vars(base)[name])


def _contract_page(methods: list[MethodDescriptor], served: set[str]) -> str:
    rows = [
        f"| `{m.containing_service.name}` | `{m.name}` | {_callers(m)} | {_recording(m)} "
        f"| {'yes' if m.full_name in served else 'not yet'} |"
        for m in methods
    ]
    return "\n".join(
        [
            "# The contract, RPC by RPC\n",
            f"{NOTICE}Who may call an RPC and how a call enters the audit record are options in the `.proto`",
            "files; the services enforce exactly these. An agent may act for itself only.\n",
            "| service | RPC | who may call | recorded | served |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _with_callers(page: str, methods: list[MethodDescriptor]) -> str:
    """The page with its table of principals and RPCs made anew."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    head = f"| RPC | {' | '.join(SPIFFE_KINDS)} |\n| --- |{' --- |' * len(SPIFFE_KINDS)}\n"
    rows = "".join(f"| `{m.containing_service.name}.{m.name}` | {' | '.join(_marks(m))} |\n" for m in methods)
    return f"{before}{BEGIN}\n{head}{rows}\n{END}{after}"


def _marks(method: MethodDescriptor) -> Iterator[str]:
    """For each kind of SPIFFE id: whether its holder may call this."""
    callers = set(_options(method)[options_pb2.callers])
    for kind in SPIFFE_KINDS:
        yield "yes" if rights(kind) & callers else ""


def _gaps_page(methods: list[MethodDescriptor]) -> str:
    title = f"# In the contract, not served yet\n\n{NOTICE}"
    if not methods:
        return f"{title}Every RPC of the contract is served.\n"
    rows = "\n".join(f"| `{m.containing_service.full_name}` | `{m.name}` |" for m in methods)
    says = "These RPCs answer UNIMPLEMENTED with reason NOT_SERVED_YET."
    return f"{title}{says}\n\n| service | RPC |\n| --- | --- |\n{rows}\n"


def _service_config(methods: list[MethodDescriptor]) -> str:
    """Deadlines and retries by gRPC's service config (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).

    What has no side effects is given half a minute, what changes something two minutes; both are tried again while
    nobody answers. A request with a `request_id` may be repeated when the caller set it, as the SDK does.
    UNAVAILABLE is nobody there; CANCELLED, where the caller did not cancel, is what gRPC's servers answer to a call
    that reaches them as they end: nobody took it.
    """
    reads = [m for m in methods if _level(m) == MethodOptions.NO_SIDE_EFFECTS]
    writes = [m for m in methods if _level(m) == MethodOptions.IDEMPOTENT or _has_request_id(m)]
    groups = [
        (READ_TIMEOUT, [m for m in reads if not m.server_streaming]),
        (WRITE_TIMEOUT, [m for m in writes if not (m.server_streaming or m.client_streaming)]),
        (None, [m for m in reads if m.server_streaming]),
    ]
    config = [
        {
            "name": [{"service": m.containing_service.full_name, "method": m.name} for m in group],
            **({"timeout": timeout} if timeout else {}),
            "retryPolicy": RETRY,
        }
        for timeout, group in groups
    ]
    return json.dumps({"methodConfig": config}, indent=2) + "\n"


def _level(method: MethodDescriptor) -> int:
    return int(method.GetOptions().idempotency_level)


def _has_request_id(method: MethodDescriptor) -> bool:
    return "request_id" in method.input_type.fields_by_name and method.name.startswith("Create")


def _callers(method: MethodDescriptor) -> str:
    return ", ".join(
        options_pb2.Caller.Name(c).removeprefix("CALLER_").lower() for c in _options(method)[options_pb2.callers]
    )


def _recording(method: MethodDescriptor) -> str:
    return options_pb2.Recording.Name(_options(method)[options_pb2.recording]).removeprefix("RECORDING_")


def _options(method: MethodDescriptor) -> Any:
    return method.GetOptions().Extensions


if __name__ == "__main__":
    main()
