"""What this node says of itself."""

import asyncio
import hashlib
import secrets
import socket
import time
from dataclasses import replace
from pathlib import Path

from stockade_sandbox.domain import placement
from stockade_sandbox.domain.errors import EngineUnavailable
from stockade_sandbox.domain.node import Node, NodeState
from stockade_sandbox.domain.ports import Engine
from stockade_sandbox.domain.sandbox import Limits, total
from stockade_sandbox.drains import Drains
from stockade_sandbox.lifecycle import Lifecycle

ENGINE_SECONDS = 10.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def identity(name: str, state_dir: Path) -> Node:
    """This node at its start. Its place is this boot of this machine, and the state that it keeps there."""
    place = f"{_BOOT_ID.read_text().strip()}:{state_dir.resolve()}"
    return Node(
        name=name,
        incarnation=secrets.token_hex(8),
        place=hashlib.sha256(place.encode()).hexdigest()[:32],
        host=socket.gethostname(),
        started_at=time.time(),
    )


class ThisNode:
    """Describes it as it is now. The engine is asked apart from that, since it may be slow to answer."""

    def __init__(self, node: Node, lifecycle: Lifecycle, drains: Drains, engine: Engine, capacity: Limits) -> None:
        self._node, self._lifecycle, self._drains, self._engine = node, lifecycle, drains, engine
        self._capacity = capacity
        self._engine_version = ""
        self.obeyed = ""
        """The last order that it has carried out."""

    @property
    def name(self) -> str:
        """Its name."""
        return self._node.name

    def has_room(self) -> bool:
        """Whether it takes one more sandbox now."""
        lifecycle = self._lifecycle
        cordoned = self._drains.state is not NodeState.READY
        return placement.has_room(cordoned, len(lifecycle.sandboxes.living()), lifecycle.rules.sandboxes_per_node)

    def describe(self) -> Node:
        """How it is now."""
        sandboxes, rules = self._lifecycle.sandboxes, self._lifecycle.rules
        return replace(
            self._node,
            state=self._drains.state,
            engine=self._engine_version,
            tiers=tuple(sorted(rules.tiers)),
            sandboxes=len(sandboxes.living()),
            sandbox_limit=rules.sandboxes_per_node,
            warm=self._lifecycle.pool.ready(),
            promised=total(sandbox.limits for sandbox in sandboxes.present()),
            capacity=self._capacity,
            heard_at=time.time(),
            obeyed=self.obeyed,
        )

    async def ask_engine(self) -> None:
        """Take its version, empty while none answers."""
        try:
            self._engine_version = await self._engine.version()
        except EngineUnavailable:
            self._engine_version = ""

    async def run(self) -> None:
        """Ask the engine again and again, for ever."""
        while True:
            await self.ask_engine()
            await asyncio.sleep(ENGINE_SECONDS)
