"""What the domain's exceptions are to a caller."""

from collections.abc import Callable
from typing import Any

from grpc import StatusCode
from stockade_rpckit.errors import Failure

from stockade_embedding_cache.domain.cache import VectorInvalid
from stockade_embedding_cache.domain.key import KeysMalformed
from stockade_embedding_cache.domain.layer import LayerNotAllowed, LayerRequired, LayerUnknown, PublishNotAllowed
from stockade_embedding_cache.domain.ports import StoreUnavailable
from stockade_embedding_cache.domain.vector import RowsMismatch

RETRY_S = 2.0


class BatchTooLarge(ValueError):
    """Hits that do not fit one message."""

    def __init__(self, rows_that_fit: int) -> None:
        super().__init__(f"the hits do not fit one message: ask for {rows_that_fit} rows at most, or use StreamGet")
        self.rows_that_fit = rows_that_fit


class PageTokenInvalid(ValueError):
    """A page token that this server did not give."""

    def __init__(self) -> None:
        super().__init__("page_token is not one of this server's: send next_page_token of the page before")


FAILURES: dict[type[Exception], Callable[[Any], Failure]] = {
    LayerUnknown: lambda e: _invalid("LAYER_UNKNOWN", e, layer=e.layer),
    LayerRequired: lambda e: _invalid("LAYER_REQUIRED", e, field="layer"),
    KeysMalformed: lambda e: _invalid("KEYS_MALFORMED", e, bytes=e.size),
    RowsMismatch: lambda e: _invalid(
        "ROWS_MISMATCH", e, keys=e.keys, expected_bytes=e.expected_bytes, bytes=e.actual_bytes
    ),
    VectorInvalid: lambda e: _invalid("VECTOR_INVALID", e, fault=e.fault.name),
    PageTokenInvalid: lambda e: _invalid("PAGE_TOKEN_INVALID", e),
    LayerNotAllowed: lambda e: _failure(StatusCode.PERMISSION_DENIED, "LAYER_NOT_ALLOWED", e, layer=e.layer),
    PublishNotAllowed: lambda e: _failure(StatusCode.PERMISSION_DENIED, "PUBLISH_NOT_ALLOWED", e, caller=e.caller),
    BatchTooLarge: lambda e: _failure(
        StatusCode.RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE", e, rows_that_fit=e.rows_that_fit
    ),
    StoreUnavailable: lambda e: Failure(
        StatusCode.UNAVAILABLE,
        "STORE_UNAVAILABLE",
        str(e),
        metadata={"backend": e.backend},
        retry_after_s=RETRY_S,
    ),
}


def _invalid(reason: str, error: Exception, **facts: object) -> Failure:
    return _failure(StatusCode.INVALID_ARGUMENT, reason, error, **facts)


def _failure(code: StatusCode, reason: str, error: Exception, **facts: object) -> Failure:
    return Failure(code, reason, str(error), metadata={name: str(fact) for name, fact in facts.items()})
