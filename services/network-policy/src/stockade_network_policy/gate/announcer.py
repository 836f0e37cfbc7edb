"""Tells Envoy which listeners it should have: the server side of the incremental xDS protocol, for listeners alone.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol (incremental xDS). One response is under way at a
time; Envoy confirms or refuses it, and what it already has after a reconnect it says itself.
"""

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource
from envoy.service.listener.v3 import lds_pb2_grpc
from stockade_rpckit.logs import get_logger

from stockade_network_policy.gate.errors import DoorRefused, GateUnavailable

log = get_logger(__name__)

_TYPE = "type.googleapis.com/envoy.config.listener.v3.Listener"


@dataclass(slots=True)
class Connection:
    """An Envoy that is connected: its version, since when, and the versions of the listeners it confirmed.

    `unsettled` are the names of those that it may not have as wanted: a change costs what it changes, however many
    doors there are.
    """

    envoy_version: str
    since_ns: int
    known: dict[str, str]
    unsettled: set[str]


class Announcer(lds_pb2_grpc.ListenerDiscoveryServiceServicer):
    """The listeners that are wanted, and the one Envoy that is told."""

    def __init__(self) -> None:
        self._wanted: dict[str, Resource] = {}
        self._changed = asyncio.Event()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self.connection: Connection | None = None
        self.last_refusal = ""

    def want(self, put: Iterable[Listener] = (), remove: Iterable[str] = ()) -> None:
        """Change what is wanted and tell Envoy, now or when it connects."""
        changed = {listener.name for listener in put if self._put(_resource(listener))}
        changed |= {name for name in remove if self._wanted.pop(name, None)}
        if self.connection is not None:
            self.connection.unsettled |= changed
        self._changed.set()

    def is_settled(self, name: str) -> bool:
        """Whether Envoy has this listener as wanted, or has none where none is."""
        if self.connection is None:
            return False
        wanted = self._wanted.get(name)
        return self.connection.known.get(name) == (wanted.version if wanted else None)

    async def settled(self, names: Iterable[str], timeout_s: float) -> None:
        """Return once Envoy has each of these as wanted.

        Raises:
            DoorRefused: Envoy would not take one of them.
            GateUnavailable: it is not connected, or did not answer in time.
        """
        futures = {name: self._future(name) for name in names if not self.is_settled(name)}
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*futures.values())
        except TimeoutError as error:
            raise GateUnavailable(timeout_s) from error
        finally:
            for name, future in futures.items():
                self._forget(name, future)

    async def DeltaListeners(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Serve one Envoy until it goes; the latest to connect is the one that counts."""
        hello = await anext(requests)
        known = dict(hello.initial_resource_versions)
        connection = Connection(_version(hello), time.time_ns(), known, {*known, *self._wanted})
        self.connection = connection
        for name in [name for name in self._waiting if self.is_settled(name)]:  # it kept what is waited for
            self._resolve(name, "")
        log.info("envoy connected", extra={"version": connection.envoy_version, "listeners": len(connection.known)})
        try:
            for nonce in map(str, itertools.count(1)):
                response = self._difference(connection, nonce)
                yield response
                self._settle(connection, response, await _answer_to(nonce, requests))
                await self._until_changed(connection)
        finally:
            log.info("envoy disconnected")
            if self.connection is connection:
                self.connection = None

    def _difference(self, connection: Connection, nonce: str) -> DeltaDiscoveryResponse:
        """What Envoy has yet to be told; what it has as wanted is settled."""
        told, connection.unsettled = connection.unsettled, set()
        wanted = [self._wanted[name] for name in told if name in self._wanted]
        return DeltaDiscoveryResponse(
            type_url=_TYPE,
            nonce=nonce,
            resources=[new for new in wanted if connection.known.get(new.name) != new.version],
            removed_resources=[name for name in told if name in connection.known and name not in self._wanted],
        )

    async def _until_changed(self, connection: Connection) -> None:
        while not connection.unsettled:
            self._changed.clear()
            await self._changed.wait()

    def _settle(self, connection: Connection, told: DeltaDiscoveryResponse, answer: DeltaDiscoveryRequest) -> None:
        """Take Envoy's word on a response. A refusal names the listeners that failed; the others were taken."""
        refusal = answer.error_detail.message
        if refusal:
            self.last_refusal = refusal
            log.error("envoy refused", extra={"message_of_envoy": refusal})
        for name in told.removed_resources:
            connection.known.pop(name, None)
            self._resolve(name, "")
        for resource in told.resources:
            connection.known[resource.name] = resource.version
            self._resolve(resource.name, refusal if f"{resource.name}: " in refusal else "")

    def _put(self, resource: Resource) -> bool:
        """Want this one; False where it is wanted already."""
        before = self._wanted.get(resource.name)
        self._wanted[resource.name] = resource
        return before is None or before.version != resource.version

    def _future(self, name: str) -> "asyncio.Future[None]":
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(future)
        return future

    def _forget(self, name: str, future: "asyncio.Future[None]") -> None:
        """Nobody waits any more, whatever came of it."""
        waiting = self._waiting.get(name, [])
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            self._waiting.pop(name, None)

    def _resolve(self, name: str, refusal: str) -> None:
        for future in self._waiting.pop(name, ()):
            if future.done():
                continue
            if refusal:
                future.set_exception(DoorRefused(name, refusal))
            else:
                future.set_result(None)


def _resource(listener: Listener) -> Resource:
    """A listener whose version is its content, so that a service started again announces nothing anew."""
    content = listener.SerializeToString(deterministic=True)
    resource = Resource(name=listener.name, version=hashlib.sha256(content).hexdigest()[:16])
    resource.resource.type_url, resource.resource.value = _TYPE, content
    return resource


async def _answer_to(nonce: str, requests: AsyncIterator[Any]) -> DeltaDiscoveryRequest:
    async for request in requests:
        if request.response_nonce == nonce:
            return request
    raise ConnectionError("Envoy closed its stream")


def _version(hello: DeltaDiscoveryRequest) -> str:
    number = hello.node.user_agent_build_version.version
    return f"{number.major_number}.{number.minor_number}.{number.patch}"
