"""Layers: whose entries a caller reads and writes. Chosen from who calls, never from the key.

An agent reads its private layer, then its type's shared one, and writes to the private one. Operators and services
name a layer, and only that one is touched. A shared layer is written by publishing alone: the service cannot check
that a vector belongs to a text it never sees, and one misled agent must not poison the others.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

_PRIVATE, _SHARED = "agents/", "types/"
_NAME = re.compile(r"(agents|types)/[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the kind of principal, its name, and an agent's type."""

    kind: str
    name: str
    agent_type: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class LayerUnknown(ValueError):
    """A name that no layer can have."""

    def __init__(self, layer: str) -> None:
        super().__init__(f"layer {layer!r} is unknown: name agents/<agent id> or types/<agent type>")
        self.layer = layer


class LayerRequired(ValueError):
    """An operator or a service that names no layer."""

    def __init__(self) -> None:
        super().__init__("name the layer: agents/<agent id> or types/<agent type>")


class LayerNotAllowed(PermissionError):
    """A layer that is not the caller's to read, or not to write."""

    def __init__(self, layer: str, mend: str) -> None:
        super().__init__(f"layer {layer} is not yours to use like this: {mend}")
        self.layer = layer


class PublishNotAllowed(PermissionError):
    """A caller without the right to publish."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(f"{caller} may not publish to shared layers: have it added to the service's publishers")
        self.caller = caller


def private_layer(agent: str) -> str:
    """The layer that only this agent, operators and services read."""
    return _PRIVATE + agent


def shared_layer(agent_type: str) -> str:
    """The layer that every agent of this type reads; a type has it with and without its qe- prefix."""
    return _SHARED + agent_type.removeprefix("qe-")


def is_shared(layer: str) -> bool:
    """Whether `layer` is read by more than one agent."""
    return layer.startswith(_SHARED)


def readable(caller: Caller, named: str) -> tuple[str, ...]:
    """The layers to look into, in order. Raises LayerUnknown, LayerRequired, LayerNotAllowed."""
    layer = _parse(named)
    if caller.kind != AGENT:
        return (_required(layer),)
    own = (private_layer(caller.name), shared_layer(caller.agent_type))
    if layer and layer not in own:
        raise LayerNotAllowed(layer, "an agent reads its own layer and its type's")
    return (layer,) if layer else own


def writable(caller: Caller, named: str) -> str:
    """The private layer to write. Raises LayerUnknown, LayerRequired, LayerNotAllowed."""
    layer = owned(caller, named)
    if is_shared(layer):
        raise LayerNotAllowed(layer, "shared layers are written with Publish")
    return layer


def owned(caller: Caller, named: str) -> str:
    """The one layer to list, measure, delete from or clear: an agent's private one, or any that others name.

    Raises LayerUnknown, LayerRequired, LayerNotAllowed.
    """
    layer = _parse(named)
    if caller.kind != AGENT:
        return _required(layer)
    own = private_layer(caller.name)
    if layer and layer != own:
        raise LayerNotAllowed(layer, "an agent changes its own layer only")
    return own


def publishable(caller: Caller, named: str, publishers: Collection[str]) -> str:
    """The shared layer to publish to. `publishers` are patterns of callers, such as `operator/*`.

    Raises LayerUnknown, LayerRequired, LayerNotAllowed, PublishNotAllowed.
    """
    if caller.kind == AGENT or not any(fnmatchcase(str(caller), pattern) for pattern in publishers):
        raise PublishNotAllowed(caller)
    layer = _required(_parse(named))
    if not is_shared(layer):
        raise LayerNotAllowed(layer, "publish to types/<agent type>")
    return layer


def _parse(named: str) -> str:
    if named and not _NAME.fullmatch(named):
        raise LayerUnknown(named)
    return shared_layer(named.removeprefix(_SHARED)) if is_shared(named) else named


def _required(layer: str) -> str:
    if not layer:
        raise LayerRequired
    return layer
