"""Docker as the engine, through docker-py.

docker-py's thread safety is disputed, so each worker thread has a client of its own; every call has a timeout.
"""

import asyncio
import struct
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import docker
import requests
import urllib3
from docker.types import CancellableStream
from stockade_rpckit import threads

from stockade_sandbox.domain.errors import (
    EngineRefused,
    EngineUnavailable,
    ImageMissing,
    MemoryNotKept,
    RuntimeMissing,
)
from stockade_sandbox.domain.ports import Change, Container, ContainerState, ContainerStatus, EngineEvent, LogLine
from stockade_sandbox.domain.sandbox import Limits, Tier
from stockade_sandbox.engines import gvisor, hardening

P = ParamSpec("P")
T = TypeVar("T")

SERVICE_LABEL = "dev.stockade.service"
"""Whose a container is: the id of the service that made it."""

_CALL_SECONDS = 30
_RECONNECT_SECONDS = 0.5
_LAG_SECONDS = 0.5
_FREEZE_ATTEMPTS = 5
_STATES = {
    "created": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "paused": ContainerState.PAUSED,
}
_CHANGES = {"die": Change.DIED, "destroy": Change.REMOVED}
_IMAGE_EVENTS = ("tag", "untag", "pull", "load", "import", "delete")
_UNREACHABLE = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
)


class DockerEngine:
    """See `domain.ports.Engine`. One for the service."""

    def __init__(self, address: str, service_id: str) -> None:
        """`address` as in DOCKER_HOST; `service_id` labels what is ours among what others run there."""
        self._address = address
        self._service_id = service_id
        self._local = threading.local()
        self._memories: dict[str, Path] = {}  # what containers that are made and not started yet go on from

    async def version(self) -> str:
        """See `Engine.version`."""
        found = await self._run(docker.APIClient.version)
        return f"docker {found['Version']}"

    async def image_digest(self, image: str) -> str:
        """See `Engine.image_digest`."""
        try:
            return str((await self._run(docker.APIClient.inspect_image, image))["Id"])
        except EngineRefused as error:
            raise ImageMissing(image) from error

    async def create(self, container: Container) -> None:
        """See `Engine.create`."""
        await self._run(self._create, container)
        if container.memory is not None:
            self._memories[container.name] = container.memory

    async def start(self, name: str) -> ContainerStatus:
        """See `Engine.start`."""
        return await self._run(_start, name, self._memories.pop(name, None))

    async def status(self, name: str) -> ContainerStatus | None:
        """See `Engine.status`."""
        return await self._run(_status, name)

    async def statuses(self) -> Mapping[str, ContainerStatus]:
        """See `Engine.statuses`."""
        found = await self._run(docker.APIClient.containers, all=True, filters={"label": self._label})
        return {status.name: status for status in map(_listed, found)}

    async def pause(self, name: str) -> None:
        """See `Engine.pause`."""
        await self._run(_change, docker.APIClient.pause, name, ContainerState.PAUSED)

    async def resume(self, name: str) -> None:
        """See `Engine.resume`."""
        await self._run(_change, docker.APIClient.unpause, name, ContainerState.RUNNING)

    async def update(self, name: str, limits: Limits) -> None:
        """See `Engine.update`."""
        await self._run(_update, name, limits)

    async def remove(self, name: str) -> None:
        """See `Engine.remove`."""
        self._memories.pop(name, None)
        await self._run(_remove, name)

    async def checkpoint(self, name: str, directory: Path) -> None:
        """See `Engine.checkpoint`."""
        await self._run(_checkpoint, name, directory)

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """See `Engine.events`."""
        filters = {"type": ["container", "image"], "event": [*_CHANGES, *_IMAGE_EVENTS]}
        while True:
            try:
                stream = await self._run(docker.APIClient.events, filters=filters, decode=True)
            except (EngineUnavailable, EngineRefused):
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            yield EngineEvent(Change.CONNECTED)
            async with aclosing(_read(stream)) as told:
                async for event in told:
                    if event["Type"] == "image":
                        yield EngineEvent(Change.IMAGES)
                    elif (of := event["Actor"]["Attributes"]).get(SERVICE_LABEL) == self._service_id:
                        yield EngineEvent(_CHANGES[event["Action"]], of["name"])

    async def logs(self, name: str, tail: int, follow: bool) -> AsyncGenerator[LogLine, None]:
        """See `Engine.logs`."""
        response = await self._run(_open_log, name, tail, follow)
        async with aclosing(_read(CancellableStream(_framed_lines(response), response))) as lines:
            async for line in lines:
                yield line

    @property
    def _label(self) -> str:
        return f"{SERVICE_LABEL}={self._service_id}"

    async def _run(self, work: Callable[Concatenate[docker.APIClient, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await threads.run(self._with_client, work, *args, **kwargs)

    def _with_client(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self._translated():
            return work(self._client(), *args, **kwargs)

    def _client(self) -> docker.APIClient:
        """This thread's client. Its first use asks the engine which API version both speak."""
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = docker.APIClient(self._address, version="auto", timeout=_CALL_SECONDS)
        return client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _UNREACHABLE as error:
            self._local.client = None
            raise EngineUnavailable(self._address, _short(error)) from error
        except docker.errors.APIError as error:
            raise EngineRefused(error.explanation or str(error)) from error
        except docker.errors.DockerException as error:  # docker-py's own word for no answer to the first call
            raise EngineUnavailable(self._address, _short(error)) from error

    def _create(self, client: docker.APIClient, container: Container) -> None:
        try:
            # Asked each time: a tag may have moved, and with it the paths that the image declares as volumes.
            config = client.inspect_image(container.image).get("Config") or {}  # type: ignore[no-untyped-call]
            body = hardening.create_body(container, config.get("Volumes") or ())
            body["Labels"] = {**body["Labels"], SERVICE_LABEL: self._service_id}
            client.create_container_from_config(body, name=container.name)  # type: ignore[no-untyped-call]
        except docker.errors.NotFound as error:  # ImageNotFound too, which is a kind of it
            raise ImageMissing(container.image) from error
        except docker.errors.APIError as error:
            if "runtime" in (error.explanation or ""):  # "Unknown runtime specified runsc", and later wordings
                raise RuntimeMissing(container.tier, hardening.RUNTIMES[container.tier]) from error
            raise


async def _read(stream: "CancellableStream[Any]") -> AsyncGenerator[Any, None]:
    """What a blocking stream yields. A thread of its own reads it, since it may wait for ever; closing ends both."""
    loop, queue, end = asyncio.get_running_loop(), asyncio.Queue[Any](), object()

    def read() -> None:
        try:
            with suppress(*_UNREACHABLE, OSError, ValueError):  # what a stream closed under its reader may raise
                for item in stream:
                    loop.call_soon_threadsafe(queue.put_nowait, item)
        finally:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(queue.put_nowait, end)

    threading.Thread(target=read, name="docker-stream", daemon=True).start()
    try:
        while (item := await queue.get()) is not end:
            yield item
    finally:
        with suppress(*_UNREACHABLE, OSError, docker.errors.DockerException):
            stream.close()


def _open_log(client: docker.APIClient, name: str, tail: int, follow: bool) -> requests.Response:
    """GET /containers/{id}/logs, which docker-py's own method reads without telling the streams apart."""
    query = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow), "tail": tail or "all"}
    url = f"{client.base_url}/v{client.api_version}/containers/{name}/logs"
    response = client.get(url, params=query, stream=True, timeout=None)
    if not response.ok:
        raise EngineRefused(response.json().get("message", response.reason))
    return response


def _framed_lines(response: requests.Response) -> Iterator[LogLine]:
    """Docker's multiplexed stream: frames of stream (1 byte), three zeroes, length (4 bytes), payload."""
    with response:
        while len(header := response.raw.read(8)) == 8:
            stream, length = struct.unpack(">BxxxL", header)
            stamp, _, data = response.raw.read(length).partition(b" ")
            yield LogLine(_seconds(stamp.decode()), stream == 2, data)


def _start(client: docker.APIClient, name: str, memory: Path | None) -> ContainerStatus:
    with gvisor.beginning_with(client.inspect_container(name)["Id"], memory) if memory else nullcontext():
        client.start(name)
    status = _status(client, name)
    if status is None or status.state is not ContainerState.RUNNING:
        raise EngineRefused(f"its init process ended at once with {status.exit_code if status else 'no trace'}")
    return status


def _status(client: docker.APIClient, name: str) -> ContainerStatus | None:
    try:
        found = client.inspect_container(name)
    except docker.errors.NotFound:
        return None
    state = found["State"]
    return ContainerStatus(
        name=name,
        state=_STATES.get(state["Status"], ContainerState.EXITED),
        init_pid=state["Pid"],
        exit_code=state["ExitCode"],
        out_of_memory=state["OOMKilled"],
        image_digest=found["Image"],
    )


def _listed(row: Mapping[str, Any]) -> ContainerStatus:
    state = _STATES.get(row["State"], ContainerState.EXITED)
    return ContainerStatus(name=row["Names"][0].lstrip("/"), state=state, image_digest=row["ImageID"])


def _change(
    client: docker.APIClient, change: Callable[[docker.APIClient, str], None], name: str, wanted: ContainerState
) -> None:
    """Pause or unpause. One that is so already is refused in many words, and the engine's own view may lag behind.

    On a busy host runc gives up freezing too soon ("unable to freeze"), so a refusal is tried again.
    """
    for left in reversed(range(_FREEZE_ATTEMPTS)):
        try:
            change(client, name)
            return
        except docker.errors.APIError:
            if _becomes(client, name, wanted):
                return
            if not left:
                raise


def _tier(found: Mapping[str, Any]) -> Tier:
    """The tier of a container as the engine describes it."""
    names = {runtime: tier for tier, runtime in hardening.RUNTIMES.items()}
    return names.get(found["HostConfig"]["Runtime"], Tier.RUNC)


def _checkpoint(client: docker.APIClient, name: str, directory: Path) -> None:
    found = client.inspect_container(name)
    if _tier(found) is not Tier.GVISOR:
        raise MemoryNotKept(_tier(found))
    gvisor.checkpoint(found["Id"], found["State"]["Pid"], directory)


def _becomes(client: docker.APIClient, name: str, wanted: ContainerState) -> bool:
    deadline = time.monotonic() + _LAG_SECONDS
    while (status := _status(client, name)) and status.init_pid and time.monotonic() < deadline:
        if status.state is wanted:
            return True
        time.sleep(0.05)
    return False


def _update(client: docker.APIClient, name: str, limits: Limits) -> None:
    fields = hardening.limit_fields(limits, _tier(client.inspect_container(name)))
    # docker-py's own update_container knows neither NanoCpus nor PidsLimit.
    url = f"{client.base_url}/v{client.api_version}/containers/{name}/update"
    response = client.post(url, json=fields, timeout=_CALL_SECONDS)
    if not response.ok:
        raise EngineRefused(response.json().get("message", response.reason))


def _remove(client: docker.APIClient, name: str) -> None:
    try:
        client.remove_container(name, v=True, force=True)
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        if "is already in progress" not in str(error):
            raise
        _wait_gone(client, name)


def _wait_gone(client: docker.APIClient, name: str) -> None:
    """Another removal of the same container is under way: let it end."""
    for _ in range(100):
        if _status(client, name) is None:
            return
        time.sleep(0.05)


def _seconds(stamp: str) -> float:
    """RFC 3339 with nanoseconds, of which Python reads six digits."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _short(error: Exception) -> str:
    text = str(error)
    for plain in ("No such file or directory", "Connection refused", "Permission denied", "timed out"):
        if plain in text:
            return plain.lower()
    return text.splitlines()[0][:200] if text else type(error).__name__
