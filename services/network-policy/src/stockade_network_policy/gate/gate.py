"""The service's side of the gate, put together: doors, judge, outcomes, and the sockets that Envoy calls."""

from collections.abc import Callable, Iterable

import grpc
from envoy.service.accesslog.v3 import als_pb2_grpc
from envoy.service.listener.v3 import lds_pb2_grpc
from stockade_audit import Journal
from stockade_rpckit.folds import Folds
from stockade_rpckit.logs import get_logger

from stockade_network_policy.catalogue import Catalogue, PolicyChanged
from stockade_network_policy.gate import judge, sockets
from stockade_network_policy.gate.announcer import Announcer
from stockade_network_policy.gate.caps import Caps
from stockade_network_policy.gate.door import Door
from stockade_network_policy.gate.doors import Doors
from stockade_network_policy.gate.errors import DoorNotFound, DoorRefused, GateUnavailable
from stockade_network_policy.gate.judge import Judge
from stockade_network_policy.gate.ledger import Ledger
from stockade_network_policy.gate.outcomes import Outcomes
from stockade_network_policy.gate.settings import GateSettings
from stockade_network_policy.judgement import Judgement

log = get_logger(__name__)

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),  # Envoy pings, so that it notices a frozen service
    ("grpc.http2.max_ping_strikes", 0),
)


class Gate:
    """What the network-policy service does for Envoy."""

    def __init__(self, settings: GateSettings, judgement: Judgement, catalogue: Catalogue, journal: Journal) -> None:
        self.settings = settings
        self.announcer = Announcer()
        self.doors = Doors(settings, self.announcer, Ledger(settings.gate_dir / "doors"))
        self.judge = Judge(judgement, self.doors.get, settings.request_megabytes << 20)
        self.folds = Folds(journal)
        self._catalogue = catalogue
        self._judgement = judgement
        self._caps = Caps(settings.gate_dir / "admin.sock", settings.gate_dir / "caps.json", self.folds, self.doors.get)
        self._outcomes = Outcomes(judgement, self.folds, self.doors.get, self._cut_agent_of)
        catalogue.on_change(self._policy_changed)

    @property
    def awaiting_outcome(self) -> int:
        """How many decisions wait for their outcome."""
        return self._judgement.decisions.awaiting()

    async def run(self) -> None:
        """Answer Envoy until cancelled."""
        judging = await judge.serve(self.judge, self.settings.gate_dir / "judge.sock")
        control = await self._control()
        try:
            await self.folds.run(before=self._caps.read)
        finally:
            judging.close()
            await control.stop(0)
            await self._caps.read()
            await self.folds.close()
            self._caps.keep()

    async def _control(self) -> grpc.aio.Server:
        path = self.settings.gate_dir / "xds.sock"
        sockets.clear(path)
        server = grpc.aio.server(options=_OPTIONS)
        lds_pb2_grpc.add_ListenerDiscoveryServiceServicer_to_server(self.announcer, server)
        als_pb2_grpc.add_AccessLogServiceServicer_to_server(self._outcomes, server)
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        sockets.open_to_directory(path)
        return server

    async def cut(self, sandboxes: Iterable[str]) -> None:
        """End these sandboxes' connections within a second; what cannot be cut now is cut once Envoy answers again."""
        try:
            await self.doors.cut(found := list(sandboxes))
        except (GateUnavailable, DoorNotFound, DoorRefused):
            log.exception("doors could not be cut yet", extra={"sandboxes": found})

    async def _policy_changed(self, change: PolicyChanged) -> None:
        """What lost something is cut; what is still allowed connects again."""
        if change.tightens:
            rules = self._catalogue.rules
            await self._cut(lambda door: rules(door.agent_type).policy == change.after)

    async def _cut_agent_of(self, sandbox: str) -> None:
        door = self.doors.get(sandbox)
        if door is not None:
            await self._cut(lambda other: other.agent == door.agent)

    async def _cut(self, concerned: Callable[[Door], bool]) -> None:
        await self.cut(door.sandbox for door in self.doors.all() if concerned(door))
