"""What an agent does through Stockade: run code in a sandbox, reach hosts that policy allows, embed, say what it did.

    async with AsyncStockade.connect() as stockade, BaseAgent(stockade, "writer-1", agent_type="writer") as agent:
        done = await agent.execute_in_sandbox("python3", "-c", "print(6 * 7)")
        answer = await agent.make_network_request("https://api.github.com/zen")

Each method is opt-in: an agent that calls none of them needs no stack.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from stockade_agent.client import DEFAULT_RUN_DIR, trace_metadata, typed_errors
from stockade_agent.errors import NetworkPolicyError, StockadeError, Unreachable
from stockade_agent.flags import Walls
from stockade_agent.sandbox import Ending

if TYPE_CHECKING:
    from types import TracebackType

    import httpx
    import numpy as np
    from numpy.typing import NDArray

    from stockade_agent.agent_flags import AgentFlags
    from stockade_agent.client import AsyncStockade
    from stockade_agent.decider import LocalDecider, LocalDecision
    from stockade_agent.embeddings import CachedEmbedder

log = logging.getLogger(__name__)

UNSANDBOXED = "UNSANDBOXED"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class TaskResult:
    """What a task wrote, how it ended, and what stood around it.

    `tier` is RUNC, GVISOR or NAMESPACE, or UNSANDBOXED; `entry_id` names the audit entry of an unsandboxed run.
    """

    tier: str
    stdout: bytes
    stderr: bytes
    ending: Ending
    entry_id: str = ""


class BaseAgent:
    """One agent's ways to the stack. Use it from one event loop, as an async context manager; derive from it or not."""

    def __init__(
        self,
        stockade: AsyncStockade,
        name: str,
        *,
        agent_type: str = "default",
        embedder: CachedEmbedder | None = None,
        walls: Walls | None = None,
        flags: AgentFlags | None = None,
    ) -> None:
        """`name` is the agent's id; `embedder` is what `embed` goes through; `flags` may add to its `walls`."""
        self.name, self.agent_type = name, agent_type
        self._stockade, self._embedder = stockade, embedder
        self._walls, self._flags = walls or Walls(), flags
        self._gated = inside_sandbox()
        self._open = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._local: LocalDecider | None = None
        self._client: httpx.AsyncClient | None = None

    @property
    def walls(self) -> Walls:
        """The walls that stand now: the agent's own and those that flags have raised."""
        return self._walls | self._flags.walls if self._flags else self._walls

    async def execute_in_sandbox(
        self,
        program: str,
        *args: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 the sandbox keeps it, not this loop
        fallback: Literal["unsandboxed"] | None = None,
        **request: Any,
    ) -> TaskResult:
        """Run a program in a sandbox of its own, made for it and deleted after it.

        `request` are the further arguments of `AsyncSandbox.create`. With `fallback="unsandboxed"` the program runs on
        this machine where no sandbox can be had because nothing serves one: that warns, and is on the record before
        the program starts; without a record it does not run. A refusal or a full stack never falls back.

        Raises StockadeError when the program could not be run; one that fails is no error: see `TaskResult.ending`.
        """
        await self._claim_where_required("task", program)
        sandbox = self._stockade.sandbox(self.name, agent_type=self.agent_type, **request)
        try:
            info = await sandbox.create()
        except Unreachable as error:
            if fallback is None or self.walls.sandbox_required:
                raise
            command = (program, *args)
            return await self._execute_unsandboxed(command, error, stdin=stdin, env=env, cwd=cwd, timeout=timeout)
        try:
            result = await sandbox.run(program, *args, stdin=stdin, env=env, cwd=cwd, timeout=timeout)
        finally:
            await sandbox.delete()
        return TaskResult(_tier(info.tier), result.stdout, result.stderr, result.ending)

    async def make_network_request(
        self, url: str, *, method: str = "GET", client: httpx.AsyncClient | None = None, **options: Any
    ) -> httpx.Response:
        """Send a request that policy allows, and record how it ended. Needs httpx (`stockade-agent[httpx]`).

        `options` are those of `httpx.AsyncClient.request`. Where a gate is in the way (in a sandbox), it decides what
        no lease covers, once; elsewhere the service is asked. A redirect is a request of its own: it is not followed.

        Raises NetworkPolicyError when it is refused, StockadeError when nobody decides, httpx.HTTPError when it fails.
        """
        if options.pop("follow_redirects", False):
            raise ValueError("a redirect may lead to another host: request it by a call of its own")
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https URL with a host")
        port = parts.port or _PORTS[parts.scheme]
        await self._claim_where_required("request", f"{parts.hostname}:{port}")
        decision = await self._decide(parts.scheme, parts.hostname, port, method)
        headers = dict(options.pop("headers", None) or {})
        if decision and decision.lease and inside_sandbox():
            headers["x-stockade-lease"] = decision.lease
        response = None
        try:
            sender = client or await self._http()
            response = await sender.request(method, url, headers=headers, follow_redirects=False, **options)
        finally:
            await self._record(decision, response)
        return response

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of `texts`, [texts, dimensions], in their order, through the shared cache.

        Raises ValueError without an embedder; what the embedder raises is passed on.
        """
        if self._embedder is None:
            raise ValueError("this agent has no embedder: give BaseAgent(…, embedder=CachedEmbedder(…))")
        embed = self._embedder.alone if self.walls.cache_off else self._embedder
        return await asyncio.to_thread(embed, texts)

    async def audit(
        self, resource: str, *, reason: str = "", status: str = "", metadata: Mapping[str, str] | None = None
    ) -> str:
        """Say on the record what this agent did: its own words, marked as such. Returns the entry's id.

        Durable before it returns. Agents speak for themselves, from their sandbox; elsewhere only a service may. Raises
        Refused for an operator, Exhausted for too many claims.
        """
        from stockade.audit.v1 import audit_service_pb2, audit_service_pb2_grpc, entry_pb2

        entry = entry_pb2.Entry(
            action=entry_pb2.ACTION_CLAIM,
            agent=self.name,
            agent_type=self.agent_type,
            resource=resource,
            reason=reason,
            status=status,
            metadata=metadata or {},
        )
        stub = self._stockade.stub(audit_service_pb2_grpc.AuditServiceStub, "audit")
        with typed_errors():
            answer = await stub.AppendEntry(
                audit_service_pb2.AppendEntryRequest(entry=entry), metadata=trace_metadata()
            )
        return str(answer.id)

    async def _execute_unsandboxed(self, args: tuple[str, ...], cause: StockadeError, **options: Any) -> TaskResult:
        from stockade_agent.unsandboxed import run_unsandboxed

        entry_id = await self._report_local_run(args[0], cause)
        log.warning("%s runs %s UNSANDBOXED: %s [audit entry %s]", self.name, args[0], cause.message, entry_id)
        result = await run_unsandboxed(args, **options)
        try:
            await self._report_local_run(args[0], cause, result.ending)
        except StockadeError as error:  # that it ran is on the record; only how it ended is not
            log.warning("the end of an unsandboxed run of %s is not on the record: %s", args[0], error)
        return TaskResult(UNSANDBOXED, result.stdout, result.stderr, result.ending, entry_id)

    async def _report_local_run(self, program: str, cause: StockadeError, ending: Ending | None = None) -> str:
        from stockade.sandbox.v1 import sandbox_service_pb2, sandbox_service_pb2_grpc

        reason = f"{cause.reason or cause.code}: {cause.message}"
        request = sandbox_service_pb2.ReportLocalRunRequest(
            agent=self.name, agent_type=self.agent_type, reason=reason[:1024], program=program[:255]
        )
        if ending is None:
            request.start_time.GetCurrentTime()
        else:
            request.duration.FromTimedelta(ending.wall)
            request.exit_code = -(ending.signal or 0) if ending.exit_code is None else ending.exit_code
        stub = self._stockade.stub(sandbox_service_pb2_grpc.SandboxServiceStub, "sandbox")
        with typed_errors():
            return str((await stub.ReportLocalRun(request, metadata=trace_metadata())).entry_id)

    async def _decide(self, scheme: str, host: str, port: int, method: str) -> LocalDecision | None:
        """The decision, or None where the gate is left to make it: it takes no lease with a CONNECT from a client."""
        if self._gated and scheme == "https":
            return None
        decider = self._local or await self._decider()
        decision = decider.decide(host, port)
        if decision is None and not self._gated:
            with typed_errors():
                decision = await decider.check(host, port, method)
        if decision is not None and not decision.allowed:
            raise NetworkPolicyError.of_decision(decision)
        if decision is not None and decision.reported and self.walls.policy_enforced:
            await self._record(decision, None)
            raise NetworkPolicyError.of_decision(decision)
        return decision

    async def _decider(self) -> LocalDecider:
        from stockade_agent.decider import LocalDecider

        async with self._lock:
            if self._local is None:
                decider = LocalDecider(self._stockade, agent=self.name, agent_type=self.agent_type)
                self._local = await self._open.enter_async_context(decider)
        return self._local

    async def _http(self) -> httpx.AsyncClient:
        import httpx

        from stockade_agent.transports.httpx import AsyncGateTransport

        if self._client is None:
            self._client = await self._open.enter_async_context(httpx.AsyncClient(transport=AsyncGateTransport()))
        return self._client

    async def _record(self, decision: LocalDecision | None, response: httpx.Response | None) -> None:
        """Says how an allowed request ended; a status of 0 for one that got no answer."""
        if decision is None:
            return  # the gate decided, and sees the end itself
        decider = await self._decider()
        if response is None:
            decider.record(decision, status=0)
        else:
            sent = int(response.request.headers.get("content-length", 0))
            decider.record(
                decision,
                status=response.status_code,
                bytes_sent=sent,
                bytes_received=response.num_bytes_downloaded,
            )

    async def _claim_where_required(self, kind: str, what: str) -> None:
        if self.walls.audit_required:
            await self.audit(what[:1024], reason=f"begins a {kind}")

    def _record_flags(self, walls: Walls) -> None:
        """Claims a change of flags; called on the provider's thread. Where no claim is taken, the log has it."""
        future = asyncio.run_coroutine_threadsafe(
            self.audit("flags", reason="flags changed", metadata={k: str(v) for k, v in asdict(walls).items()}),
            self._loop,
        )
        future.add_done_callback(_log_failure)

    async def __aenter__(self) -> Self:
        if self._flags is not None:
            self._loop = asyncio.get_running_loop()
            self._flags.on_change = self._record_flags
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._flags is not None:
            self._flags.on_change = None
        await self._open.aclose()


def inside_sandbox() -> bool:
    """Whether this process is in a sandbox, where every way out leads through the gate."""
    return (DEFAULT_RUN_DIR / "api.sock").exists()


def _log_failure(future: Future[str]) -> None:
    if not future.cancelled() and (error := future.exception()):
        log.warning("a change of flags is not on the record: %s", error)


def _tier(tier: int) -> str:
    from stockade.sandbox.v1 import sandbox_pb2

    return str(sandbox_pb2.Tier.Name(tier)).removeprefix("TIER_")  # type: ignore[arg-type]  # generated
