from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_INVALID_REQUEST: _ClassVar[Reason]
    REASON_CALLER_NOT_ALLOWED: _ClassVar[Reason]
    REASON_IDENTITY_MISSING: _ClassVar[Reason]
    REASON_RECORD_UNAVAILABLE: _ClassVar[Reason]
    REASON_NOT_SERVED_YET: _ClassVar[Reason]
    REASON_INTERNAL: _ClassVar[Reason]
    REASON_PAGE_TOKEN_INVALID: _ClassVar[Reason]
    REASON_ETAG_MISMATCH: _ClassVar[Reason]
    REASON_REQUEST_ID_REUSED: _ClassVar[Reason]
    REASON_DRAINING: _ClassVar[Reason]
    REASON_DEPENDENCY_UNAVAILABLE: _ClassVar[Reason]
    REASON_DOOR_EXISTS: _ClassVar[Reason]
    REASON_DOOR_NOT_FOUND: _ClassVar[Reason]
    REASON_DOOR_REFUSED: _ClassVar[Reason]
    REASON_GATE_UNAVAILABLE: _ClassVar[Reason]
    REASON_LAYER_NOT_ALLOWED: _ClassVar[Reason]
    REASON_LAYER_REQUIRED: _ClassVar[Reason]
    REASON_LAYER_UNKNOWN: _ClassVar[Reason]
    REASON_KEYS_MALFORMED: _ClassVar[Reason]
    REASON_ROWS_MISMATCH: _ClassVar[Reason]
    REASON_VECTOR_INVALID: _ClassVar[Reason]
    REASON_BATCH_TOO_LARGE: _ClassVar[Reason]
    REASON_PUBLISH_NOT_ALLOWED: _ClassVar[Reason]
    REASON_STORE_UNAVAILABLE: _ClassVar[Reason]
REASON_UNSPECIFIED: Reason
REASON_INVALID_REQUEST: Reason
REASON_CALLER_NOT_ALLOWED: Reason
REASON_IDENTITY_MISSING: Reason
REASON_RECORD_UNAVAILABLE: Reason
REASON_NOT_SERVED_YET: Reason
REASON_INTERNAL: Reason
REASON_PAGE_TOKEN_INVALID: Reason
REASON_ETAG_MISMATCH: Reason
REASON_REQUEST_ID_REUSED: Reason
REASON_DRAINING: Reason
REASON_DEPENDENCY_UNAVAILABLE: Reason
REASON_DOOR_EXISTS: Reason
REASON_DOOR_NOT_FOUND: Reason
REASON_DOOR_REFUSED: Reason
REASON_GATE_UNAVAILABLE: Reason
REASON_LAYER_NOT_ALLOWED: Reason
REASON_LAYER_REQUIRED: Reason
REASON_LAYER_UNKNOWN: Reason
REASON_KEYS_MALFORMED: Reason
REASON_ROWS_MISMATCH: Reason
REASON_VECTOR_INVALID: Reason
REASON_BATCH_TOO_LARGE: Reason
REASON_PUBLISH_NOT_ALLOWED: Reason
REASON_STORE_UNAVAILABLE: Reason
