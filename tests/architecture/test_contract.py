"""The contract keeps its own rules: each RPC says who may call and how it is recorded, each field is bounded."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from stockade.errors.v1 import errors_pb2
from stockade.options.v1 import options_pb2

PROTOS = Path(__file__).parents[2] / "protos"
MODULES = [
    importlib.import_module(str(path.relative_to(PROTOS).with_suffix("")).replace("/", ".") + "_pb2")
    for path in sorted(PROTOS.rglob("*.proto"))
]


def methods() -> Iterator[MethodDescriptor]:
    for module in MODULES:
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def messages() -> Iterator[Descriptor]:
    """Every message that a request can hold, each once."""
    todo = [method.input_type for method in methods()]
    seen: set[str] = set()
    while todo:
        message = todo.pop()
        foreign = not message.full_name.startswith("stockade.") or message.GetOptions().map_entry
        if message.full_name in seen or foreign:
            continue
        seen.add(message.full_name)
        yield message
        todo += [field.message_type for field in message.fields if field.message_type]


@pytest.mark.parametrize("method", list(methods()), ids=lambda m: m.full_name)
def test_an_rpc_says_who_may_call_and_how_it_is_recorded(method: MethodDescriptor) -> None:
    extensions = method.GetOptions().Extensions
    callers = list(extensions[options_pb2.callers])
    assert callers
    assert options_pb2.CALLER_UNSPECIFIED not in callers
    assert len(callers) == len(set(callers))
    assert extensions[options_pb2.recording] != options_pb2.RECORDING_UNSPECIFIED


@pytest.mark.parametrize("method", list(methods()), ids=lambda m: m.full_name)
def test_what_changes_something_is_recorded_for_itself(method: MethodDescriptor) -> None:
    changing = ("Create", "Delete", "Update", "Erase", "Open", "Close", "Clear", "Add", "Remove")
    if method.name.startswith(changing) and method.containing_service.name != "FileService":
        recording = method.GetOptions().Extensions[options_pb2.recording]
        assert recording in (options_pb2.RECORDING_INTENT, options_pb2.RECORDING_AFTER)


def _bounded(field: FieldDescriptor) -> bool:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.message_type and field.message_type.GetOptions().map_entry:
        return rules.map.HasField("max_pairs")
    if field.is_repeated:
        return rules.repeated.HasField("max_items")
    kind = {field.TYPE_STRING: rules.string, field.TYPE_BYTES: rules.bytes}.get(field.type)
    if kind is None:
        return True
    names = {f.name for f, _ in kind.ListFields()}
    limits = {"max_len", "max_bytes", "len", "len_bytes", "const", "in", "uuid", "ip", "pattern"}
    return bool(names & limits)


@pytest.mark.parametrize("message", list(messages()), ids=lambda m: m.full_name)
def test_what_a_caller_may_send_is_bounded(message: Descriptor) -> None:
    assert [field.name for field in message.fields if not _bounded(field)] == []


def test_error_reasons_stay_in_the_range_of_their_service() -> None:
    for name, number in errors_pb2.Reason.items():
        assert 0 <= number < 500, name
