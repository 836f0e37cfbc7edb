"""A sandbox's door: who stands behind it, what narrows its way, and the listeners that Envoy opens for it."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from envoy.config.listener.v3.listener_pb2 import Listener

# json_format finds the types of a listener's filters in the pool once these are imported.
from envoy.extensions.filters.listener.local_ratelimit.v3 import local_ratelimit_pb2 as _rate  # noqa: F401
from envoy.extensions.filters.network.connection_limit.v3 import connection_limit_pb2 as _limit  # noqa: F401
from envoy.extensions.filters.network.set_filter_state.v3 import set_filter_state_pb2 as _state  # noqa: F401
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2 as _proxy  # noqa: F401
from google.protobuf import json_format

from stockade_network_policy.gate import filters
from stockade_network_policy.gate.settings import GateSettings

EGRESS, API = "egress", "api"


class NetworkMode(StrEnum):
    """Which ways out a sandbox has, by the names of the contract's enum."""

    ISOLATED = "ISOLATED"
    WHITELISTED = "WHITELISTED"
    HOST = "HOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The doors of one sandbox. `narrowing` holds canonical patterns; None: the whole policy of the type."""

    sandbox: str
    agent: str
    agent_type: str
    egress_socket: str = ""
    api_socket: str = ""
    narrowing: tuple[str, ...] | None = None
    network_mode: NetworkMode = NetworkMode.ISOLATED
    created_ns: int = 0
    cuts: int = 0

    def sockets(self) -> dict[str, Path]:
        """The sockets that this door opens, by the name of their listener."""
        found = {}
        if self.network_mode is NetworkMode.WHITELISTED:
            found[f"{EGRESS}/{self.sandbox}"] = Path(self.egress_socket)
        if self.api_socket:
            found[f"{API}/{self.sandbox}"] = Path(self.api_socket)
        return found

    def same_as(self, other: "Door") -> bool:
        """Whether both say the same, whenever they were opened and however often cut."""
        return dataclasses.replace(other, created_ns=self.created_ns, cuts=self.cuts) == self

    def listeners(self, settings: GateSettings) -> Iterator[Listener]:
        """The listeners that Envoy opens for this door."""
        for name, path in self.sockets().items():
            yield json_format.ParseDict(self._listener(name, path, settings), Listener())

    def _listener(self, name: str, path: Path, settings: GateSettings) -> filters.Value:
        chain = name.partition("/")[0]
        identity = {"sandbox": self.sandbox, "agent": self.agent, "agent-type": self.agent_type}
        return {
            "name": name,
            "stat_prefix": "door",
            "max_connections_to_accept_per_socket_event": 4,  # a door that is hammered leaves time for the others
            # Whoever can enter the directory may connect: it is mounted into this sandbox alone.
            "address": {"pipe": {"path": str(path), "mode": 0o666}},
            "listener_filters": [filters.connection_rate(name, settings)],
            "filter_chains": [
                {
                    "filters": [
                        filters.connection_limit(name, settings),
                        # The count of cuts makes a new chain of it, and Envoy ends the connections of the old one.
                        filters.caller(**identity, cuts=str(self.cuts)),
                        filters.tcp_proxy("door", "gate" if chain == EGRESS else "api", idle_timeout="0s"),
                    ]
                }
            ],
        }

    def to_json(self) -> str:
        """One line, read by `from_json`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Door":
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        fields = json.loads(text)
        narrowing = fields.pop("narrowing")
        mode = NetworkMode(fields.pop("network_mode"))
        return cls(**fields, narrowing=None if narrowing is None else tuple(narrowing), network_mode=mode)
