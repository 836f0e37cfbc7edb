from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Caller(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALLER_UNSPECIFIED: _ClassVar[Caller]
    CALLER_OPERATOR: _ClassVar[Caller]
    CALLER_AUDITOR: _ClassVar[Caller]
    CALLER_AGENT: _ClassVar[Caller]
    CALLER_SERVICE: _ClassVar[Caller]
    CALLER_ANYONE: _ClassVar[Caller]

class Recording(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORDING_UNSPECIFIED: _ClassVar[Recording]
    RECORDING_INTENT: _ClassVar[Recording]
    RECORDING_AFTER: _ClassVar[Recording]
    RECORDING_FOLDED: _ClassVar[Recording]
    RECORDING_NONE: _ClassVar[Recording]

class Personal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PERSONAL_UNSPECIFIED: _ClassVar[Personal]
    PERSONAL_SUBJECT: _ClassVar[Personal]
    PERSONAL_CONTENT: _ClassVar[Personal]
CALLER_UNSPECIFIED: Caller
CALLER_OPERATOR: Caller
CALLER_AUDITOR: Caller
CALLER_AGENT: Caller
CALLER_SERVICE: Caller
CALLER_ANYONE: Caller
RECORDING_UNSPECIFIED: Recording
RECORDING_INTENT: Recording
RECORDING_AFTER: Recording
RECORDING_FOLDED: Recording
RECORDING_NONE: Recording
PERSONAL_UNSPECIFIED: Personal
PERSONAL_SUBJECT: Personal
PERSONAL_CONTENT: Personal
CALLERS_FIELD_NUMBER: _ClassVar[int]
callers: _descriptor.FieldDescriptor
RECORDING_FIELD_NUMBER: _ClassVar[int]
recording: _descriptor.FieldDescriptor
SPANS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
spans_per_second: _descriptor.FieldDescriptor
PERSONAL_FIELD_NUMBER: _ClassVar[int]
personal: _descriptor.FieldDescriptor
