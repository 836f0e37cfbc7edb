import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stockade.networkpolicy.v1 import decision_service_pb2 as _decision_service_pb2
from stockade.networkpolicy.v1 import policy_pb2 as _policy_pb2
from stockade.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Lease(_message.Message):
    __slots__ = ("lease_id", "agent", "tokens", "expire_time")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    agent: str
    tokens: int
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, lease_id: _Optional[str] = ..., agent: _Optional[str] = ..., tokens: _Optional[int] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LeaseQuotaRequest(_message.Message):
    __slots__ = ("agent", "agent_type", "tokens")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    agent: str
    agent_type: str
    tokens: int
    def __init__(self, agent: _Optional[str] = ..., agent_type: _Optional[str] = ..., tokens: _Optional[int] = ...) -> None: ...

class LeaseQuotaResponse(_message.Message):
    __slots__ = ("lease", "snapshot")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    snapshot: _policy_pb2.SignedSnapshot
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., snapshot: _Optional[_Union[_policy_pb2.SignedSnapshot, _Mapping]] = ...) -> None: ...

class ReturnLeaseRequest(_message.Message):
    __slots__ = ("lease_id",)
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    def __init__(self, lease_id: _Optional[str] = ...) -> None: ...

class ReturnLeaseResponse(_message.Message):
    __slots__ = ("returned",)
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    returned: int
    def __init__(self, returned: _Optional[int] = ...) -> None: ...

class LocalDecision(_message.Message):
    __slots__ = ("ticket", "request", "verdict", "rule", "policy_version", "decide_time", "outcome")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ticket: int
    request: _decision_service_pb2.RequestToCheck
    verdict: _decision_service_pb2.Verdict
    rule: str
    policy_version: int
    decide_time: _timestamp_pb2.Timestamp
    outcome: _decision_service_pb2.RequestOutcome
    def __init__(self, ticket: _Optional[int] = ..., request: _Optional[_Union[_decision_service_pb2.RequestToCheck, _Mapping]] = ..., verdict: _Optional[_Union[_decision_service_pb2.Verdict, str]] = ..., rule: _Optional[str] = ..., policy_version: _Optional[int] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[_decision_service_pb2.RequestOutcome, _Mapping]] = ...) -> None: ...

class ReportDecisionsRequest(_message.Message):
    __slots__ = ("lease_id", "decisions")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    decisions: _containers.RepeatedCompositeFieldContainer[LocalDecision]
    def __init__(self, lease_id: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[LocalDecision, _Mapping]]] = ...) -> None: ...

class ReportDecisionsResponse(_message.Message):
    __slots__ = ("recorded", "recorded_before")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    RECORDED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    recorded_before: int
    def __init__(self, recorded: _Optional[int] = ..., recorded_before: _Optional[int] = ...) -> None: ...
