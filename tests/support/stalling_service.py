"""Every RPC of the contract that announces itself, served by handlers that have their effect and never come back.

`python stalling_service.py`, settings from STOCKADE_STALL_*. A handler's effect is an empty file named after its RPC in
state_dir/effects. What is between caller and handler is the real thing.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from stockade_rpckit import contract, pipeline
from stockade_rpckit.journals import open_journal
from stockade_rpckit.server import Served, Wiring, run_service
from stockade_rpckit.settings import ServiceSettings, load

PROTOS = Path(__file__).parents[2] / "protos"


def intents() -> Iterator[MethodDescriptor]:
    """The contract's RPCs whose recording is INTENT."""
    for file in sorted((PROTOS / "stockade").rglob("*_service.proto")):
        module = str(file.relative_to(PROTOS).with_suffix("")).replace("/", ".") + "_pb2"
        for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values():
            yield from (m for m in service.methods if contract.method(path(m)).recording == contract.INTENT)


def path(method: MethodDescriptor) -> str:
    """As gRPC names it."""
    return f"/{method.containing_service.full_name}/{method.name}"


def request_of(method: MethodDescriptor) -> Any:
    """An empty request of an RPC."""
    return message_factory.GetMessageClass(method.input_type)()


def _handler(method: MethodDescriptor, effects: Path) -> grpc.RpcMethodHandler:
    async def stall(_request: Any, _context: Any) -> Any:
        (effects / method.name).touch()
        await asyncio.Event().wait()

    async def stall_streaming(_request: Any, _context: Any) -> AsyncIterator[Any]:
        (effects / method.name).touch()
        await asyncio.Event().wait()
        yield None

    kind = ("stream" if method.client_streaming else "unary") + "_" + ("stream" if method.server_streaming else "unary")
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(  # type: ignore[no-any-return]
        stall_streaming if method.server_streaming else stall,
        request_deserializer=type(request_of(method)).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


async def wire(settings: ServiceSettings) -> Wiring:
    """All of them, over one journal."""
    effects = settings.state_dir / "effects"
    effects.mkdir(parents=True, exist_ok=True)
    by_service: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
    for method in intents():
        by_service.setdefault(method.containing_service.full_name, {})[method.name] = _handler(method, effects)

    def add(service: str) -> Any:
        handler = grpc.method_handlers_generic_handler(service, by_service[service])
        return lambda _handler, server: server.add_generic_rpc_handlers((handler,))

    return Wiring([Served(service, add(service), None) for service in by_service], open_journal(settings, "stall"))


if __name__ == "__main__":
    pipeline.validate = lambda _request: None  # requests are empty here: what they may hold is not what is tested
    run_service("stall", load(ServiceSettings, "STOCKADE_STALL"), wire)
