"""SandboxService: reads requests, asks the lifecycle, answers. Rules are not decided here."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import grpc
from grpc.aio import ServicerContext as Context
from opentelemetry import trace
from stockade.sandbox.v1 import sandbox_pb2
from stockade.sandbox.v1 import sandbox_service_pb2 as pb
from stockade.sandbox.v1.sandbox_service_pb2_grpc import SandboxServiceServicer
from stockade_audit import Action
from stockade_rpckit.errors import Failure
from stockade_rpckit.identity import PrincipalKind, current_principal
from stockade_rpckit.recording import current_record

from stockade_sandbox import snapshots
from stockade_sandbox.directory import Directory
from stockade_sandbox.domain.change import Change
from stockade_sandbox.domain.errors import FieldNotMutable, SandboxError, SandboxNotFound
from stockade_sandbox.domain.sandbox import Filter, NetworkMode, Sandbox, listing_key
from stockade_sandbox.handlers import messages
from stockade_sandbox.handlers.access import caller_may_see, owner, visible
from stockade_sandbox.handlers.paging import DEFAULT_PAGE_SIZE, cut, page, position
from stockade_sandbox.lifecycle import Lifecycle
from stockade_sandbox.observation import Observation
from stockade_sandbox.records import facts
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.snapshots import Snapshots

AGENT_MAY_CHANGE = frozenset({"lifetime", "idle_timeout"})


class SandboxHandler(SandboxServiceServicer):
    """See sandbox_service.proto."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        sandboxes: Sandboxes,
        directory: Directory,
        observation: Observation,
        snapshots: Snapshots,
    ) -> None:
        self._lifecycle, self._sandboxes, self._directory = lifecycle, sandboxes, directory
        self._observation, self._snapshots = observation, snapshots

    async def CreateSandbox(self, request: pb.CreateSandboxRequest, context: Context) -> pb.CreateSandboxResponse:
        """Makes a sandbox and answers when commands can run in it."""
        sandbox = await self._lifecycle.create(messages.request_value(request), owner(), _trace_id())
        _recorded(Action.SANDBOX_CREATED, sandbox)
        return pb.CreateSandboxResponse(sandbox=self._message(sandbox))

    async def GetSandbox(self, request: pb.GetSandboxRequest, context: Context) -> pb.GetSandboxResponse:
        """Tells one sandbox, on whichever node."""
        return pb.GetSandboxResponse(sandbox=self._message(await self._found(request.name)))

    async def ListSandboxes(self, request: pb.ListSandboxesRequest, context: Context) -> pb.ListSandboxesResponse:
        """Lists sandboxes of all nodes, the newest first."""
        wanted = messages.filter_value(request.filter)
        scope = f"sandboxes:{request.filter.SerializeToString(deterministic=True).hex()}"
        size = request.page_size or DEFAULT_PAGE_SIZE
        rest = await self._directory.page(wanted, caller_may_see, position(request.page_token, scope), size + 1)
        chosen, token = cut(rest, listing_key, scope, size)
        return pb.ListSandboxesResponse(sandboxes=map(self._message, chosen), next_page_token=token)

    async def WatchSandboxes(
        self, request: pb.WatchSandboxesRequest, context: Context
    ) -> AsyncIterator[pb.WatchSandboxesResponse]:
        """Sends each matching sandbox as it is, then again with every change."""
        principal = current_principal()
        wanted = messages.filter_value(request.filter)
        if principal.kind is PrincipalKind.AGENT:
            wanted = _narrowed(wanted, principal.name)
        async with aclosing(self._sandboxes.watch(wanted)) as changes:
            async for sandbox in changes:
                yield pb.WatchSandboxesResponse(sandbox=self._message(sandbox) if sandbox else None)

    async def UpdateSandbox(self, request: pb.UpdateSandboxRequest, context: Context) -> pb.UpdateSandboxResponse:
        """Changes a sandbox that lives."""
        visible(self._sandboxes, request.name)
        paths = set(request.update_mask.paths)
        if current_principal().kind is PrincipalKind.AGENT and not paths <= AGENT_MAY_CHANGE:
            raise _not_for_agents(paths)
        sandbox = await self._lifecycle.update(request.name, _change(request), request.etag)
        _recorded(Action.SANDBOX_UPDATED, sandbox, changed=",".join(sorted(paths)))
        return pb.UpdateSandboxResponse(sandbox=self._message(sandbox))

    async def PauseSandbox(self, request: pb.PauseSandboxRequest, context: Context) -> pb.PauseSandboxResponse:
        """Freezes a sandbox."""
        sandbox = await self._lifecycle.pause(visible(self._sandboxes, request.name).name)
        _recorded(Action.SANDBOX_PAUSED, sandbox)
        return pb.PauseSandboxResponse(sandbox=self._message(sandbox))

    async def ResumeSandbox(self, request: pb.ResumeSandboxRequest, context: Context) -> pb.ResumeSandboxResponse:
        """Lets a paused sandbox run on."""
        sandbox = await self._lifecycle.resume(visible(self._sandboxes, request.name).name)
        _recorded(Action.SANDBOX_RESUMED, sandbox)
        return pb.ResumeSandboxResponse(sandbox=self._message(sandbox))

    async def DeleteSandbox(self, request: pb.DeleteSandboxRequest, context: Context) -> pb.DeleteSandboxResponse:
        """Ends a sandbox."""
        if (found := await self._found(request.name)).ended_at:
            return pb.DeleteSandboxResponse(sandbox=self._message(found))
        usage = await self._last_usage(visible(self._sandboxes, request.name))
        sandbox = await self._lifecycle.delete(request.name, request.etag)
        _recorded(Action.SANDBOX_DELETED, sandbox)
        return pb.DeleteSandboxResponse(sandbox=self._message(sandbox), usage=usage)

    async def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: Context) -> pb.CreateSnapshotResponse:
        """Copies a sandbox's files, and its live memory if that is wanted."""
        snapshot = await self._snapshots.take(visible(self._sandboxes, request.name).name, request.with_memory)
        current_record().set(resource=snapshot.name, agent=snapshot.agent, agent_type=snapshot.agent_type)
        return pb.CreateSnapshotResponse(snapshot=messages.snapshot_message(snapshot))

    async def ListSnapshots(self, request: pb.ListSnapshotsRequest, context: Context) -> pb.ListSnapshotsResponse:
        """Lists snapshots, the newest first."""
        found, scope = self._snapshots.all(request.sandbox), f"snapshots:{request.sandbox}"
        chosen, token = page(found, snapshots.listing_key, scope, request.page_size, request.page_token)
        return pb.ListSnapshotsResponse(snapshots=map(messages.snapshot_message, chosen), next_page_token=token)

    async def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest, context: Context) -> pb.DeleteSnapshotResponse:
        """Removes a snapshot."""
        snapshot = await self._snapshots.drop(request.name)
        current_record().set(sandbox=snapshot.sandbox, agent=snapshot.agent, agent_type=snapshot.agent_type)
        return pb.DeleteSnapshotResponse()

    async def RestoreSandbox(self, request: pb.RestoreSandboxRequest, context: Context) -> pb.RestoreSandboxResponse:
        """Makes a new sandbox from a snapshot."""
        lifetime = messages.seconds(request.lifetime) if request.HasField("lifetime") else None
        restored = self._snapshots.restore(request.snapshot, lifetime, request.request_id, owner(), _trace_id())
        sandbox = await restored
        _recorded(Action.SANDBOX_CREATED, sandbox, snapshot=request.snapshot)
        return pb.RestoreSandboxResponse(sandbox=self._message(sandbox))

    async def ForkSandbox(self, request: pb.ForkSandboxRequest, context: Context) -> pb.ForkSandboxResponse:
        """Makes sandboxes that go on from where one is."""
        source = visible(self._sandboxes, request.name)
        forked = self._snapshots.fork(source.name, request.count, request.request_id, owner(), _trace_id())
        made = await forked
        current_record().set(**facts(source))
        current_record().set(metadata={"forks": ",".join(sandbox.name for sandbox in made)})
        return pb.ForkSandboxResponse(sandboxes=map(self._message, made))

    async def GetSandboxUsage(self, request: pb.GetSandboxUsageRequest, context: Context) -> pb.GetSandboxUsageResponse:
        """Tells what a sandbox has used."""
        usage = await self._observation.usage(visible(self._sandboxes, request.name).name)
        return pb.GetSandboxUsageResponse(usage=messages.usage_message(usage))

    async def StreamSandboxUsage(
        self, request: pb.StreamSandboxUsageRequest, context: Context
    ) -> AsyncIterator[pb.StreamSandboxUsageResponse]:
        """Tells it again at every interval, until the sandbox ends."""
        name = visible(self._sandboxes, request.name).name
        interval = messages.seconds(request.interval) if request.HasField("interval") else 1.0
        usage = await self._observation.usage(name)
        while True:
            yield pb.StreamSandboxUsageResponse(usage=messages.usage_message(usage))
            await asyncio.sleep(interval)
            try:
                usage = await self._observation.usage(name)
            except SandboxError:
                return

    async def GetSandboxHealth(
        self, request: pb.GetSandboxHealthRequest, context: Context
    ) -> pb.GetSandboxHealthResponse:
        """Tells how a sandbox's supervisor is."""
        health = self._observation.health(visible(self._sandboxes, request.name).name)
        return pb.GetSandboxHealthResponse(
            state=f"HEALTH_STATE_{health.state}",
            heartbeat_time=messages.timestamp(health.heard_at),
            message=health.message,
        )

    async def GetSandboxLogs(
        self, request: pb.GetSandboxLogsRequest, context: Context
    ) -> AsyncIterator[pb.GetSandboxLogsResponse]:
        """Sends what a sandbox's init process wrote."""
        lines = self._observation.logs(visible(self._sandboxes, request.name).name, request.tail, request.follow)
        async with aclosing(lines):
            async for line in lines:
                stream = pb.LOG_STREAM_STDERR if line.stderr else pb.LOG_STREAM_STDOUT
                yield pb.GetSandboxLogsResponse(
                    write_time=messages.timestamp(line.written_at), stream=stream, data=line.data
                )

    async def ReportLocalRun(self, request: pb.ReportLocalRunRequest, context: Context) -> pb.ReportLocalRunResponse:
        """Records that an agent's task ran without a sandbox."""
        principal = current_principal()
        if principal.kind is PrincipalKind.AGENT and principal.name != request.agent:
            raise Failure(
                grpc.StatusCode.PERMISSION_DENIED,
                "CALLER_NOT_ALLOWED",
                f"agent {principal.name} may report its own runs only",
                metadata={"caller": "AGENT", "allowed": principal.name},
            )
        record = current_record()
        record.set(action=Action.CLAIM, reason=request.reason, metadata=_local_run(request))
        return pb.ReportLocalRunResponse(entry_id=record.entry_id)

    async def _found(self, name: str) -> Sandbox:
        sandbox = await self._directory.get(name)
        if not caller_may_see(sandbox):
            raise SandboxNotFound(name)
        return sandbox

    def _message(self, sandbox: Sandbox) -> sandbox_pb2.Sandbox:
        here = sandbox.node == self._lifecycle.node
        return messages.sandbox_message(sandbox, self._observation.active_at(sandbox) if here else 0.0)

    async def _last_usage(self, sandbox: Sandbox) -> sandbox_pb2.SandboxUsage | None:
        try:
            return messages.usage_message(await self._observation.usage(sandbox.name))
        except SandboxError:
            return None


def describe_create(request: pb.CreateSandboxRequest) -> Mapping[str, Any]:
    """What the intent of a CreateSandbox says."""
    return {
        "agent": request.agent,
        "agent_type": request.agent_type,
        "metadata": {
            "image": request.image,
            "network_mode": sandbox_pb2.NetworkMode.Name(request.network_mode).removeprefix("NETWORK_MODE_"),
            "env": ",".join(sorted(request.env)),
        },
    }


def describe_name(request: Any) -> Mapping[str, Any]:
    """What the intent of a call about one sandbox says."""
    return {"sandbox": request.name}


DESCRIBE = {
    "CreateSandbox": describe_create,
    **dict.fromkeys(("UpdateSandbox", "PauseSandbox", "ResumeSandbox", "DeleteSandbox"), describe_name),
    **dict.fromkeys(("CreateSnapshot", "ForkSandbox"), describe_name),
    "RestoreSandbox": lambda request: {"resource": request.snapshot},
    **dict.fromkeys(("GetSandbox", "GetSandboxUsage", "GetSandboxHealth", "GetSandboxLogs"), describe_name),
}


def _trace_id() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


def _recorded(action: Action, sandbox: Sandbox, **more: str) -> None:
    current_record().set(action=action, **facts(sandbox))
    current_record().set(metadata=more)


_READERS: Mapping[str, Callable[[pb.UpdateSandboxRequest], Any]] = {
    "lifetime": lambda request: messages.seconds(request.lifetime),
    "idle_timeout": lambda request: messages.seconds(request.idle_timeout),
    "limits": lambda request: messages.limits_value(request.limits),
    "network_mode": lambda request: _mode(request.network_mode),
    "allowed_domains": lambda request: tuple(request.allowed_domains),
    "labels": lambda request: dict(request.labels),
}


def _change(request: pb.UpdateSandboxRequest) -> Change:
    """The fields that the mask names. Raises FieldNotMutable."""
    for path in request.update_mask.paths:
        if path not in _READERS:
            raise FieldNotMutable(path, f"the mask may name {', '.join(sorted(_READERS))}")
    return Change(**{path: _READERS[path](request) for path in request.update_mask.paths})


def _mode(value: int) -> NetworkMode:
    if not value:
        raise FieldNotMutable("network_mode", "name ISOLATED or WHITELISTED")
    return NetworkMode(value)


def _narrowed(wanted: Filter, agent: str) -> Filter:
    """What an agent may watch of `wanted`: nothing, when that is another's."""
    return replace(wanted, agent=agent) if wanted.agent in ("", agent) else replace(wanted, names=frozenset({""}))


def _not_for_agents(paths: set[str]) -> Failure:
    refused = ", ".join(sorted(paths - AGENT_MAY_CHANGE))
    return Failure(
        grpc.StatusCode.PERMISSION_DENIED,
        "CALLER_NOT_ALLOWED",
        f"an agent may change lifetime and idle_timeout of its sandbox, not {refused}",
        metadata={"caller": "AGENT", "allowed": "OPERATOR, SERVICE"},
    )


def _local_run(request: pb.ReportLocalRunRequest) -> dict[str, str | int | float | bool]:
    said: dict[str, str | int | float | bool] = {"sandboxed": False, "program": request.program}
    if request.HasField("duration"):
        said |= {"duration_s": messages.seconds(request.duration), "exit_code": request.exit_code}
    return said
