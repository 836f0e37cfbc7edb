"""The contract's rules, held before a handler sees a request (protovalidate, 20 µs a request)."""

import grpc
import protovalidate
from google.protobuf.message import Message

from stockade_rpckit.errors import Failure


def validate(request: Message) -> None:
    """Raise a `Failure` (INVALID_ARGUMENT) that names every field which breaks a rule of the contract."""
    violations = protovalidate.collect_violations(request)
    if not violations:
        return
    found = [(_path(v), v.proto.message or v.proto.rule_id) for v in violations]
    raise Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        "; ".join(f"{field}: {problem}" if field else problem for field, problem in found),
        metadata={"field": found[0][0]},
        violations=found,
    )


def _path(violation: protovalidate.Violation) -> str:
    """The field's path in the request, e.g. `limits.cpu` or `keys[3]`."""
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
