"""The probe service: a contract for tests, compiled when first imported, and what serves it."""

import asyncio
import importlib
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from grpc_tools import protoc

ROOT = Path(__file__).parents[2]


def _compile() -> tuple[ModuleType, ModuleType]:
    out = tempfile.mkdtemp(prefix="stockade-probe-")
    include = Path(protoc.__file__).parent / "_proto"
    roots = (Path(__file__).parent, ROOT / "protos", ROOT / "vendor/protovalidate", include)
    arguments = ["protoc", *(f"-I{root}" for root in roots), f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main([*arguments, "probe.proto"]) == 0
    sys.path.insert(0, out)
    return importlib.import_module("probe_pb2"), importlib.import_module("probe_pb2_grpc")


messages, stubs = _compile()


class Background:
    """An event loop on a thread of its own, for aio servers beside sync tests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Any, timeout: float = 10) -> Any:
        """Run a coroutine on the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self) -> None:
        """Stop the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@contextmanager
def background() -> Iterator[Background]:
    """A `Background` that ends with the block."""
    loop = Background()
    try:
        yield loop
    finally:
        loop.close()


class Prober(stubs.ProbeServicer):  # type: ignore[misc,name-defined]
    """Does what `mood` says, whatever the kind of RPC: answer, fail, raise, abort, wait or send for ever."""

    async def _answer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        from stockade_rpckit.errors import Failure

        if request.mood == "fail":
            raise Failure(grpc.StatusCode.NOT_FOUND, "SANDBOX_NOT_FOUND", "no such thing", retry_after_s=1.5)
        if request.mood == "domain":
            raise LookupError("a domain error")
        if request.mood == "raise":
            raise ZeroDivisionError("a defect")
        if request.mood == "abort":
            await context.abort(grpc.StatusCode.ABORTED, "aborted by hand")
        if request.mood == "wait":
            await asyncio.sleep(60)
        return messages.Answer(text=f"hello {request.name}")

    async def One(self, request, context):  # type: ignore[no-untyped-def]
        return await self._answer(request, context)

    Intend = Fold = Often = Nobody = One

    async def Who(self, _request, _context):  # type: ignore[no-untyped-def]
        from stockade_rpckit.identity import current_principal

        who = current_principal()
        return messages.Answer(text=" ".join(filter(None, (who.kind, who.name, who.agent_type, who.sandbox))))

    async def OneMany(self, request, context):  # type: ignore[no-untyped-def]
        yield await self._answer(request, context)
        while request.mood == "flood":
            yield messages.Answer(text="x" * 1_000_000)

    async def ManyOne(self, request_iterator, context):  # type: ignore[no-untyped-def]
        return [await self._answer(request, context) async for request in request_iterator][-1]

    async def ManyMany(self, request_iterator, context):  # type: ignore[no-untyped-def]
        async for request in request_iterator:
            async for answer in self.OneMany(request, context):
                yield answer
