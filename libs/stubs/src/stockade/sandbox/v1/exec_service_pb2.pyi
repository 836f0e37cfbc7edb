import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stockade.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EndingReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDING_REASON_UNSPECIFIED: _ClassVar[EndingReason]
    ENDING_REASON_EXITED: _ClassVar[EndingReason]
    ENDING_REASON_SIGNALLED: _ClassVar[EndingReason]
    ENDING_REASON_TIMEOUT: _ClassVar[EndingReason]
    ENDING_REASON_OUT_OF_MEMORY: _ClassVar[EndingReason]
    ENDING_REASON_PIDS_LIMIT: _ClassVar[EndingReason]
    ENDING_REASON_DISK_FULL: _ClassVar[EndingReason]
    ENDING_REASON_OUTPUT_LIMIT: _ClassVar[EndingReason]
    ENDING_REASON_CANCELLED: _ClassVar[EndingReason]
    ENDING_REASON_SANDBOX_LOST: _ClassVar[EndingReason]

class ExecState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXEC_STATE_UNSPECIFIED: _ClassVar[ExecState]
    EXEC_STATE_STARTING: _ClassVar[ExecState]
    EXEC_STATE_RUNNING: _ClassVar[ExecState]
    EXEC_STATE_ENDED: _ClassVar[ExecState]
ENDING_REASON_UNSPECIFIED: EndingReason
ENDING_REASON_EXITED: EndingReason
ENDING_REASON_SIGNALLED: EndingReason
ENDING_REASON_TIMEOUT: EndingReason
ENDING_REASON_OUT_OF_MEMORY: EndingReason
ENDING_REASON_PIDS_LIMIT: EndingReason
ENDING_REASON_DISK_FULL: EndingReason
ENDING_REASON_OUTPUT_LIMIT: EndingReason
ENDING_REASON_CANCELLED: EndingReason
ENDING_REASON_SANDBOX_LOST: EndingReason
EXEC_STATE_UNSPECIFIED: ExecState
EXEC_STATE_STARTING: ExecState
EXEC_STATE_RUNNING: ExecState
EXEC_STATE_ENDED: ExecState

class Command(_message.Message):
    __slots__ = ("args", "env", "cwd", "timeout", "max_output_bytes", "terminal", "limits")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    args: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.ScalarMap[str, str]
    cwd: str
    timeout: _duration_pb2.Duration
    max_output_bytes: int
    terminal: TerminalSize
    limits: _containers.RepeatedCompositeFieldContainer[ResourceLimit]
    def __init__(self, args: _Optional[_Iterable[str]] = ..., env: _Optional[_Mapping[str, str]] = ..., cwd: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_output_bytes: _Optional[int] = ..., terminal: _Optional[_Union[TerminalSize, _Mapping]] = ..., limits: _Optional[_Iterable[_Union[ResourceLimit, _Mapping]]] = ...) -> None: ...

class TerminalSize(_message.Message):
    __slots__ = ("rows", "columns")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class ResourceLimit(_message.Message):
    __slots__ = ("resource", "limit")
    class Resource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESOURCE_UNSPECIFIED: _ClassVar[ResourceLimit.Resource]
        RESOURCE_CPU_SECONDS: _ClassVar[ResourceLimit.Resource]
        RESOURCE_FILE_BYTES: _ClassVar[ResourceLimit.Resource]
        RESOURCE_OPEN_FILES: _ClassVar[ResourceLimit.Resource]
        RESOURCE_ADDRESS_SPACE_BYTES: _ClassVar[ResourceLimit.Resource]
        RESOURCE_STACK_BYTES: _ClassVar[ResourceLimit.Resource]
    RESOURCE_UNSPECIFIED: ResourceLimit.Resource
    RESOURCE_CPU_SECONDS: ResourceLimit.Resource
    RESOURCE_FILE_BYTES: ResourceLimit.Resource
    RESOURCE_OPEN_FILES: ResourceLimit.Resource
    RESOURCE_ADDRESS_SPACE_BYTES: ResourceLimit.Resource
    RESOURCE_STACK_BYTES: ResourceLimit.Resource
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    resource: ResourceLimit.Resource
    limit: int
    def __init__(self, resource: _Optional[_Union[ResourceLimit.Resource, str]] = ..., limit: _Optional[int] = ...) -> None: ...

class Ending(_message.Message):
    __slots__ = ("reason", "exit_code", "signal", "detail", "output_partial", "output_bytes", "usage", "end_time", "seccomp_killed")
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SECCOMP_KILLED_FIELD_NUMBER: _ClassVar[int]
    reason: EndingReason
    exit_code: int
    signal: int
    detail: str
    output_partial: bool
    output_bytes: int
    usage: ExecUsage
    end_time: _timestamp_pb2.Timestamp
    seccomp_killed: bool
    def __init__(self, reason: _Optional[_Union[EndingReason, str]] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., detail: _Optional[str] = ..., output_partial: _Optional[bool] = ..., output_bytes: _Optional[int] = ..., usage: _Optional[_Union[ExecUsage, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seccomp_killed: _Optional[bool] = ...) -> None: ...

class ExecUsage(_message.Message):
    __slots__ = ("wall_time", "cpu_time", "peak_memory_bytes", "oom_kills", "pids_refused", "processes_left")
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLS_FIELD_NUMBER: _ClassVar[int]
    PIDS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_LEFT_FIELD_NUMBER: _ClassVar[int]
    wall_time: _duration_pb2.Duration
    cpu_time: _duration_pb2.Duration
    peak_memory_bytes: int
    oom_kills: int
    pids_refused: int
    processes_left: int
    def __init__(self, wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., peak_memory_bytes: _Optional[int] = ..., oom_kills: _Optional[int] = ..., pids_refused: _Optional[int] = ..., processes_left: _Optional[int] = ...) -> None: ...

class ExecInfo(_message.Message):
    __slots__ = ("sandbox", "exec", "args", "state", "start_time", "ending", "pid", "output_offset", "output_bytes", "terminal", "traceparent")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    exec: str
    args: _containers.RepeatedScalarFieldContainer[str]
    state: ExecState
    start_time: _timestamp_pb2.Timestamp
    ending: Ending
    pid: int
    output_offset: int
    output_bytes: int
    terminal: bool
    traceparent: str
    def __init__(self, sandbox: _Optional[str] = ..., exec: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[ExecState, str]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ending: _Optional[_Union[Ending, _Mapping]] = ..., pid: _Optional[int] = ..., output_offset: _Optional[int] = ..., output_bytes: _Optional[int] = ..., terminal: _Optional[bool] = ..., traceparent: _Optional[str] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("offset", "data")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: bytes
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class OutputGap(_message.Message):
    __slots__ = ("from_offset", "to_offset")
    FROM_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TO_OFFSET_FIELD_NUMBER: _ClassVar[int]
    from_offset: int
    to_offset: int
    def __init__(self, from_offset: _Optional[int] = ..., to_offset: _Optional[int] = ...) -> None: ...

class ExecStarted(_message.Message):
    __slots__ = ("exec", "pid", "start_time")
    EXEC_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    exec: str
    pid: int
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, exec: _Optional[str] = ..., pid: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExecSignal(_message.Message):
    __slots__ = ("signal", "group")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    signal: int
    group: bool
    def __init__(self, signal: _Optional[int] = ..., group: _Optional[bool] = ...) -> None: ...

class ExecInput(_message.Message):
    __slots__ = ("stdin", "close_stdin", "signal", "resize")
    STDIN_FIELD_NUMBER: _ClassVar[int]
    CLOSE_STDIN_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    stdin: bytes
    close_stdin: bool
    signal: ExecSignal
    resize: TerminalSize
    def __init__(self, stdin: _Optional[bytes] = ..., close_stdin: _Optional[bool] = ..., signal: _Optional[_Union[ExecSignal, _Mapping]] = ..., resize: _Optional[_Union[TerminalSize, _Mapping]] = ...) -> None: ...

class ExecStart(_message.Message):
    __slots__ = ("sandbox", "command", "no_stdin", "detach_on_cancel", "request_id")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    NO_STDIN_FIELD_NUMBER: _ClassVar[int]
    DETACH_ON_CANCEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    command: Command
    no_stdin: bool
    detach_on_cancel: bool
    request_id: str
    def __init__(self, sandbox: _Optional[str] = ..., command: _Optional[_Union[Command, _Mapping]] = ..., no_stdin: _Optional[bool] = ..., detach_on_cancel: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class ExecRequest(_message.Message):
    __slots__ = ("start", "input")
    START_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    start: ExecStart
    input: ExecInput
    def __init__(self, start: _Optional[_Union[ExecStart, _Mapping]] = ..., input: _Optional[_Union[ExecInput, _Mapping]] = ...) -> None: ...

class ExecResponse(_message.Message):
    __slots__ = ("started", "stdout", "stderr", "gap", "ended")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    started: ExecStarted
    stdout: Output
    stderr: Output
    gap: OutputGap
    ended: Ending
    def __init__(self, started: _Optional[_Union[ExecStarted, _Mapping]] = ..., stdout: _Optional[_Union[Output, _Mapping]] = ..., stderr: _Optional[_Union[Output, _Mapping]] = ..., gap: _Optional[_Union[OutputGap, _Mapping]] = ..., ended: _Optional[_Union[Ending, _Mapping]] = ...) -> None: ...

class RunCommandRequest(_message.Message):
    __slots__ = ("sandbox", "command", "stdin", "request_id")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    command: Command
    stdin: bytes
    request_id: str
    def __init__(self, sandbox: _Optional[str] = ..., command: _Optional[_Union[Command, _Mapping]] = ..., stdin: _Optional[bytes] = ..., request_id: _Optional[str] = ...) -> None: ...

class RunCommandResponse(_message.Message):
    __slots__ = ("exec", "stdout", "stderr", "ending")
    EXEC_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    exec: str
    stdout: bytes
    stderr: bytes
    ending: Ending
    def __init__(self, exec: _Optional[str] = ..., stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., ending: _Optional[_Union[Ending, _Mapping]] = ...) -> None: ...

class ExecAttach(_message.Message):
    __slots__ = ("sandbox", "exec", "offset")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    exec: str
    offset: int
    def __init__(self, sandbox: _Optional[str] = ..., exec: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class AttachExecRequest(_message.Message):
    __slots__ = ("attach", "input")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    attach: ExecAttach
    input: ExecInput
    def __init__(self, attach: _Optional[_Union[ExecAttach, _Mapping]] = ..., input: _Optional[_Union[ExecInput, _Mapping]] = ...) -> None: ...

class AttachExecResponse(_message.Message):
    __slots__ = ("started", "stdout", "stderr", "gap", "ended")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    started: ExecStarted
    stdout: Output
    stderr: Output
    gap: OutputGap
    ended: Ending
    def __init__(self, started: _Optional[_Union[ExecStarted, _Mapping]] = ..., stdout: _Optional[_Union[Output, _Mapping]] = ..., stderr: _Optional[_Union[Output, _Mapping]] = ..., gap: _Optional[_Union[OutputGap, _Mapping]] = ..., ended: _Optional[_Union[Ending, _Mapping]] = ...) -> None: ...

class GetExecRequest(_message.Message):
    __slots__ = ("sandbox", "exec")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    exec: str
    def __init__(self, sandbox: _Optional[str] = ..., exec: _Optional[str] = ...) -> None: ...

class GetExecResponse(_message.Message):
    __slots__ = ("exec",)
    EXEC_FIELD_NUMBER: _ClassVar[int]
    exec: ExecInfo
    def __init__(self, exec: _Optional[_Union[ExecInfo, _Mapping]] = ...) -> None: ...

class ListExecsRequest(_message.Message):
    __slots__ = ("sandbox", "state", "page_size", "page_token")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    state: ExecState
    page_size: int
    page_token: str
    def __init__(self, sandbox: _Optional[str] = ..., state: _Optional[_Union[ExecState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExecsResponse(_message.Message):
    __slots__ = ("execs", "next_page_token")
    EXECS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    execs: _containers.RepeatedCompositeFieldContainer[ExecInfo]
    next_page_token: str
    def __init__(self, execs: _Optional[_Iterable[_Union[ExecInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SignalExecRequest(_message.Message):
    __slots__ = ("sandbox", "exec", "signal")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    exec: str
    signal: ExecSignal
    def __init__(self, sandbox: _Optional[str] = ..., exec: _Optional[str] = ..., signal: _Optional[_Union[ExecSignal, _Mapping]] = ...) -> None: ...

class SignalExecResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelExecRequest(_message.Message):
    __slots__ = ("sandbox", "exec")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    exec: str
    def __init__(self, sandbox: _Optional[str] = ..., exec: _Optional[str] = ...) -> None: ...

class CancelExecResponse(_message.Message):
    __slots__ = ("exec",)
    EXEC_FIELD_NUMBER: _ClassVar[int]
    exec: ExecInfo
    def __init__(self, exec: _Optional[_Union[ExecInfo, _Mapping]] = ...) -> None: ...
