"""A witness that is another machine's daemon, by its WitnessService."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc
from stockade.audit.v1 import integrity_service_pb2 as integrity
from stockade.audit.v1 import integrity_service_pb2_grpc

from stockade_audit.daemon.domain.errors import WitnessUnavailable
from stockade_audit.head import Head, HeadRefused
from stockade_audit.keys import VerifierKey
from stockade_audit.witness import Proofs

PAGE: Final = 500
TIMEOUT_S: Final = 2.0
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class GrpcWitness:
    """`target` is a Unix socket, `unix:/path`: what takes it to the other machine says who we are there."""

    def __init__(self, target: str, key: VerifierKey) -> None:
        """Nothing is connected yet."""
        self._key = key
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._stub = integrity_service_pb2_grpc.WitnessServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def last(self) -> Head | None:
        answer = _call(self._stub.GetLatestHead, integrity.GetLatestHeadRequest(origin=self._key.name))
        return Head.open(answer.head.note, self._key) if answer.HasField("head") else None

    def add(self, head: Head, proofs: Proofs) -> None:
        shown = [integrity.JournalProof(journal=slot, hashes=hashes) for slot, hashes in proofs.items()]
        _call(self._stub.AddHead, integrity.AddHeadRequest(note=head.note, proofs=shown, key=str(self._key)))

    def heads(self) -> Iterator[Head]:
        token = ""
        while True:
            request = integrity.ListWitnessedHeadsRequest(origin=self._key.name, page_size=PAGE, page_token=token)
            answer = _call(self._stub.ListWitnessedHeads, request)
            yield from (Head.unverified(head.note) for head in answer.heads)
            if not (token := answer.next_page_token):
                return

    def close(self) -> None:
        self._channel.close()


def _call(method: Callable[..., Any], request: Any) -> Any:
    try:
        return method(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        told = f"{error.code().name}: {error.details()}"
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            raise HeadRefused(f"the witness: {error.details()}") from error
        raise WitnessUnavailable(f"the witness does not answer: {told}") from error
    except ValueError as error:  # the channel is closed
        raise WitnessUnavailable("the daemon is ending") from error
