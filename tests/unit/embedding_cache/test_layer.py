"""Who reads and writes which layer: a table of callers, what they name, and what they get."""

from collections.abc import Callable

import pytest
from stockade_embedding_cache.domain.layer import (
    Caller,
    LayerNotAllowed,
    LayerRequired,
    LayerUnknown,
    PublishNotAllowed,
    owned,
    publishable,
    readable,
    writable,
)

AGENT = Caller("agent", "a1", "qe-test-generator")
ADA, SERVICE = Caller("operator", "ada"), Caller("service", "stockade")
OWN, SHARED, OTHER = "agents/a1", "types/test-generator", "agents/a2"


@pytest.mark.parametrize(
    ("caller", "named", "layers"),
    [
        (AGENT, "", (OWN, SHARED)),
        (AGENT, OWN, (OWN,)),
        (AGENT, SHARED, (SHARED,)),
        (AGENT, "types/qe-test-generator", (SHARED,)),
        (Caller("agent", "a1", "test-generator"), "", (OWN, SHARED)),
        (ADA, OTHER, (OTHER,)),
        (SERVICE, SHARED, (SHARED,)),
    ],
)
def test_readable(caller: Caller, named: str, layers: tuple[str, ...]) -> None:
    assert readable(caller, named) == layers


@pytest.mark.parametrize(
    ("ask", "caller", "named", "error"),
    [
        (readable, AGENT, OTHER, LayerNotAllowed),
        (readable, AGENT, "types/security-scanner", LayerNotAllowed),
        (readable, ADA, "", LayerRequired),
        (writable, AGENT, SHARED, LayerNotAllowed),
        (writable, AGENT, "types/qe-test-generator", LayerNotAllowed),
        (writable, AGENT, OTHER, LayerNotAllowed),
        (writable, ADA, SHARED, LayerNotAllowed),
        (writable, ADA, "", LayerRequired),
        (owned, AGENT, SHARED, LayerNotAllowed),
        (owned, AGENT, OTHER, LayerNotAllowed),
        (owned, SERVICE, "", LayerRequired),
        (readable, ADA, "everyone", LayerUnknown),
        (readable, ADA, "agents/", LayerUnknown),
        (readable, ADA, "agents/a/../b", LayerUnknown),
        (readable, AGENT, "agents/A1", LayerUnknown),
        (readable, AGENT, "agents/a1\n", LayerUnknown),
    ],
)
def test_refused(ask: Callable[[Caller, str], object], caller: Caller, named: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(caller, named)


EVERYBODY = ("operator/*", "service/*")


@pytest.mark.parametrize(
    ("caller", "named", "publishers", "result"),
    [
        (ADA, SHARED, EVERYBODY, SHARED),
        (ADA, "types/qe-test-generator", ("operator/ada",), SHARED),
        (ADA, SHARED, ("operator/eve",), PublishNotAllowed),
        (SERVICE, SHARED, (), PublishNotAllowed),
        (AGENT, SHARED, ("*", "agent/*", "agent/a1"), PublishNotAllowed),
        (ADA, OWN, EVERYBODY, LayerNotAllowed),
        (ADA, "", EVERYBODY, LayerRequired),
    ],
)
def test_publishable(caller: Caller, named: str, publishers: tuple[str, ...], result: object) -> None:
    if isinstance(result, str):
        assert publishable(caller, named, publishers) == result
    else:
        with pytest.raises(result):  # type: ignore[call-overload]
            publishable(caller, named, publishers)
