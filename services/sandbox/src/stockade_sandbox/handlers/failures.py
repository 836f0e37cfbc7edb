"""What each domain exception is to a caller: status, reason, facts. The message is the exception's own line."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from stockade_rpckit.errors import Failure

from stockade_sandbox.domain import errors, execution, files

Code = grpc.StatusCode


def _failure(
    code: grpc.StatusCode, reason: str, facts: Callable[[Any], Mapping[str, object]], retry_after_s: float | None = None
) -> Callable[[Exception], Failure]:
    def fail(error: Exception) -> Failure:
        metadata = {key: str(value) for key, value in facts(error).items()}
        return Failure(code, reason, str(error), metadata=metadata, retry_after_s=retry_after_s)

    return fail


def _elsewhere(error: Exception) -> Failure:
    assert isinstance(error, errors.SandboxElsewhere)
    facts = {"sandbox": error.name, "node": error.node}
    return Failure(Code.UNAVAILABLE, "SANDBOX_ON_OTHER_NODE", str(error), metadata=facts, repeatable=False)


def _field_not_mutable(error: Exception) -> Failure:
    assert isinstance(error, errors.FieldNotMutable)
    return Failure(
        Code.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        str(error),
        metadata={"field": error.field},
        violations=[(error.field, str(error))],
    )


def _program_not_started(error: Exception) -> Failure:
    assert isinstance(error, execution.ProgramNotStarted)
    code = Code.NOT_FOUND if error.errno == "ENOENT" else Code.FAILED_PRECONDITION
    facts = {"errno": error.errno, "program": error.program[:256], "step": error.step}
    return Failure(code, "PROGRAM_NOT_STARTED", str(error), metadata=facts)


_FILE_CODES = {"EACCES": Code.PERMISSION_DENIED, "EPERM": Code.PERMISSION_DENIED, "EEXIST": Code.ALREADY_EXISTS}


def _file_refused(error: Exception) -> Failure:
    assert isinstance(error, files.FileRefused)
    code = _FILE_CODES.get(error.errno, Code.FAILED_PRECONDITION)
    return Failure(code, "FILE_REFUSED", str(error), metadata={"path": error.path, "errno": error.errno})


FAILURES: Mapping[type[Exception], Callable[[Exception], Failure]] = {
    errors.SandboxNotFound: _failure(Code.NOT_FOUND, "SANDBOX_NOT_FOUND", lambda e: {"sandbox": e.name}),
    errors.SandboxNotRunning: _failure(
        Code.FAILED_PRECONDITION, "SANDBOX_NOT_RUNNING", lambda e: {"sandbox": e.name, "state": e.state.value}
    ),
    errors.EtagMismatch: _failure(Code.ABORTED, "ETAG_MISMATCH", lambda e: {"current": e.current}),
    errors.FieldNotMutable: _field_not_mutable,
    errors.RequestIdReused: _failure(Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", lambda e: {"request_id": e.request_id}),
    errors.LimitAboveProfile: _failure(
        Code.INVALID_ARGUMENT,
        "LIMIT_ABOVE_PROFILE",
        lambda e: {"field": e.field, "asked": e.asked, "ceiling": e.ceiling, "profile": e.profile},
    ),
    errors.TierUnavailable: _failure(
        Code.FAILED_PRECONDITION,
        "TIER_UNAVAILABLE",
        lambda e: {"wanted": e.wanted.name, "available": e.available.name},
    ),
    errors.MemoryNotKept: _failure(
        Code.FAILED_PRECONDITION,
        "TIER_UNAVAILABLE",
        lambda e: {"wanted": e.wanted.name, "available": e.available.name},
    ),
    errors.RuntimeMissing: _failure(
        Code.FAILED_PRECONDITION,
        "TIER_UNAVAILABLE",
        lambda e: {"wanted": e.wanted.name, "available": e.available.name},
    ),
    errors.SocketsOpen: _failure(Code.FAILED_PRECONDITION, "SOCKETS_OPEN", lambda _: {}),
    errors.SnapshotNotFound: _failure(Code.NOT_FOUND, "SNAPSHOT_NOT_FOUND", lambda e: {"snapshot": e.name}),
    errors.NetworkModeNotAllowed: _failure(
        Code.PERMISSION_DENIED, "NETWORK_MODE_NOT_ALLOWED", lambda e: {"network_mode": e.mode.name}
    ),
    errors.ImageNotAllowed: _failure(Code.PERMISSION_DENIED, "IMAGE_NOT_ALLOWED", lambda e: {"image": e.image}),
    errors.ImageMissing: _failure(Code.FAILED_PRECONDITION, "IMAGE_MISSING", lambda e: {"image": e.image}),
    errors.EngineUnavailable: _failure(
        Code.UNAVAILABLE, "ENGINE_UNAVAILABLE", lambda e: {"engine": e.address}, retry_after_s=1.0
    ),
    errors.EngineRefused: _failure(Code.FAILED_PRECONDITION, "ENGINE_REFUSED", lambda _: {}),
    errors.StartFailed: _failure(Code.FAILED_PRECONDITION, "START_FAILED", lambda e: {"image": e.image}),
    errors.QuotaExceeded: _failure(
        Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", lambda e: {"principal": e.owner, "limit": e.limit}
    ),
    errors.NodeFull: _failure(
        Code.UNAVAILABLE, "NODE_FULL", lambda e: {"node": e.node, "resource": e.resource}, retry_after_s=5.0
    ),
    errors.NodeNotFound: _failure(Code.NOT_FOUND, "NODE_NOT_FOUND", lambda e: {"node": e.name}),
    errors.SandboxElsewhere: _elsewhere,
    errors.FleetUnavailable: _failure(
        Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", lambda _: {"dependency": "registry"}, retry_after_s=1.0
    ),
    errors.GateUnavailable: _failure(
        Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", lambda _: {"dependency": "network-policy"}, retry_after_s=1.0
    ),
    errors.DomainNotInPolicy: _failure(Code.INVALID_ARGUMENT, "DOMAIN_NOT_IN_POLICY", lambda _: {}),
    errors.PageTokenInvalid: _failure(Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", lambda _: {}),
    execution.ExecNotFound: _failure(
        Code.NOT_FOUND, "EXEC_NOT_FOUND", lambda e: {"sandbox": e.sandbox, "exec": e.exec_id}
    ),
    execution.ExecEnded: _failure(
        Code.FAILED_PRECONDITION, "EXEC_ENDED", lambda e: {"exec": e.exec_id, "ending": e.reason}
    ),
    execution.TooManyExecs: _failure(Code.RESOURCE_EXHAUSTED, "TOO_MANY_EXECS", lambda e: {"limit": e.limit}),
    execution.ProgramNotStarted: _program_not_started,
    execution.SupervisorAbsent: _failure(
        Code.UNAVAILABLE, "SUPERVISOR_ABSENT", lambda e: {"sandbox": e.sandbox}, retry_after_s=1.0
    ),
    files.FileNotFound: _failure(Code.NOT_FOUND, "FILE_NOT_FOUND", lambda e: {"path": e.path}),
    files.FileRefused: _file_refused,
    files.DiskFull: _failure(Code.RESOURCE_EXHAUSTED, "DISK_FULL", lambda e: {"path": e.path}),
    files.ArchiveRefused: _failure(Code.INVALID_ARGUMENT, "ARCHIVE_REFUSED", lambda e: {"member": e.member}),
    files.SandboxLost: _failure(Code.ABORTED, "SANDBOX_LOST", lambda e: {"sandbox": e.sandbox}),
}
