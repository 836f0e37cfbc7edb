"""Steps on the life of a sandbox."""

from typing import Any

from context import Context, open_channel
from google.protobuf.field_mask_pb2 import FieldMask
from stockade.sandbox.v1 import sandbox_pb2, sandbox_service_pb2, sandbox_service_pb2_grpc

State = sandbox_pb2.SandboxState


def service(context: Context) -> Any:
    return context.stub(sandbox_service_pb2_grpc.SandboxServiceStub, "sandbox")


def create(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Creates a sandbox twice with one request_id."""
    request = sandbox_service_pb2.CreateSandboxRequest(
        agent=given["agent"],
        agent_type=given["agent_type"],
        request_id=given["request_id"],
        limits=sandbox_pb2.Limits(memory_bytes=given.get("memory_bytes", 0), disk_bytes=given.get("disk_bytes", 0)),
    )
    first = service(context).CreateSandbox(request).sandbox
    again = service(context).CreateSandbox(request).sandbox
    context.sandbox, context.node = first.name, first.node
    return {
        "same": first.name == again.name,
        "state": State.Name(first.state),
        "profile": first.profile,
        "known": first.agent_type_known,
    }


def get(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    name = given.get("name", context.sandbox)
    found = service(context).GetSandbox(sandbox_service_pb2.GetSandboxRequest(name=name)).sandbox
    return {"state": State.Name(found.state), "agent": found.agent}


def watch(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Watches the sandbox, changes a label, sees it, goes away and comes back."""
    request = sandbox_service_pb2.WatchSandboxesRequest(
        filter=sandbox_service_pb2.SandboxFilter(names=[context.sandbox])
    )
    call = service(context).WatchSandboxes(request)
    first = next(call).sandbox
    while next(call).HasField("sandbox"):
        pass
    service(context).UpdateSandbox(
        sandbox_service_pb2.UpdateSandboxRequest(
            name=context.sandbox, update_mask=FieldMask(paths=["labels"]), labels={"session": given["label"]}
        )
    )
    seen = next(event.sandbox for event in call if "session" in event.sandbox.labels)
    call.cancel()
    again = service(context).WatchSandboxes(request)
    back = next(again).sandbox
    again.cancel()
    return {"first": State.Name(first.state), "label": seen.labels["session"], "again": back.labels["session"]}


def delete(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Deletes the sandbox twice: the second time is no error."""
    request = sandbox_service_pb2.DeleteSandboxRequest(name=context.sandbox)
    ended = service(context).DeleteSandbox(request).sandbox
    again = service(context).DeleteSandbox(request).sandbox
    return {"state": State.Name(ended.state), "again": State.Name(again.state)}


def reach(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Asks for a sandbox over another connection than the session's."""
    with open_channel(given["target"], given.get("tls")) as channel:
        stub: Any = sandbox_service_pb2_grpc.SandboxServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        stub.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest(), timeout=10)
    return {"reached": True}
