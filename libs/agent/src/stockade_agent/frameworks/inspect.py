"""A sandbox provider for Inspect (https://inspect.aisi.org.uk), which finds it by its entry point.

Task(…, sandbox="stockade")                                              # profile and policy "default"
Task(…, sandbox=("stockade", "test-generator"))                          # of this agent type
Task(…, sandbox=SandboxEnvironmentSpec("stockade", StockadeConfig(image="my/image", memory_bytes=2**30)))
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any, Literal, overload

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentLimits,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from inspect_ai.util._sandbox.environment import SandboxUnavailableError
from pydantic import BaseModel

from stockade_agent.client import AsyncStockade
from stockade_agent.errors import NotFound, StockadeError
from stockade_agent.sandbox import WORKSPACE, AsyncSandbox, Ending

USER = "agent"
"""The only user of a sandbox."""
LABEL = "made-by"
"""The label by which `inspect sandbox cleanup` knows its sandboxes."""

_LOST = frozenset({"SANDBOX_LOST", "SANDBOX_NOT_FOUND", "SANDBOX_NOT_RUNNING", "SUPERVISOR_ABSENT"})
_ERRORS: dict[str, type[OSError]] = {
    "EISDIR": IsADirectoryError,
    "EACCES": PermissionError,
    "EPERM": PermissionError,
    "EROFS": PermissionError,
}


class StockadeConfig(BaseModel, frozen=True):
    """What to ask for, by the arguments of `AsyncSandbox`; what is left out is the profile's."""

    agent: str = "inspect"
    agent_type: str = "default"
    image: str = ""
    network_mode: str = ""
    allowed_domains: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cpu: float = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    pids: int = 0

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


@sandboxenv(name="stockade")
class StockadeSandboxEnvironment(SandboxEnvironment):
    """A Stockade sandbox for each sample. Relative paths lead from `/workspace`."""

    def __init__(self, stockade: AsyncStockade, sandbox: AsyncSandbox) -> None:
        super().__init__()
        self._stockade, self.sandbox = stockade, sandbox

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        return StockadeConfig(**config)

    @classmethod
    async def sample_init(
        cls, task_name: str, config: BaseModel | str | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        """Create the sample's sandbox. Raises StockadeError."""
        asked = StockadeConfig(agent_type=config) if isinstance(config, str) else config or StockadeConfig()
        stockade = AsyncStockade.connect()
        sandbox = AsyncSandbox(stockade, labels={LABEL: "inspect"}, **asked.model_dump())
        try:
            await sandbox.create()
        except BaseException:
            await stockade.close()
            raise
        return {"default": cls(stockade, sandbox)}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: BaseModel | str | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """End the sample's sandbox, whatever became of the sample."""
        for environment in environments.values():
            await environment.as_type(cls).end()

    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:
        """End the sandbox of that name, or all that Inspect left behind on this stack."""
        async with AsyncStockade.connect() as stockade:
            for name in [id] if id else await _left(stockade):
                with suppress(NotFound):
                    await AsyncSandbox.existing(stockade, name).delete()

    async def end(self) -> None:
        """End the sandbox."""
        try:
            with suppress(NotFound):
                await self.sandbox.delete()
        finally:
            await self._stockade.close()

    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        """How a person gets a terminal in the sandbox."""
        _check_user(user)
        return SandboxConnection(type="stockade", command=f"stockade sandbox shell {self.sandbox.name}")

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,  # noqa: ASYNC109 the sandbox keeps it, not this loop
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a program. A timeout is never tried again: the sandbox ended the whole tree, and would again."""
        _check_user(user)
        data = input.encode() if isinstance(input, str) else input or b""
        try:
            with _os_errors(cmd[0]):
                return await self._run(cmd, data, _absolute(cwd or ""), env, timeout)
        except FileNotFoundError as error:
            return ExecResult(success=False, returncode=127, stdout="", stderr=str(error))

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """Read a file of at most `SandboxEnvironmentLimits.MAX_READ_FILE_SIZE` bytes."""
        limit = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
        with _os_errors(file):
            content = await self.sandbox.files.read(_absolute(file), length=limit + 1)
        if len(content) > limit:
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None)
        return content.decode() if text else content

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Write a file, with the directories above it; one that may not be written is not replaced."""
        path = _absolute(file)
        data = contents.encode() if isinstance(contents, str) else contents
        with _os_errors(file):
            with suppress(NotFound):
                there = await self.sandbox.files.stat(path)
                if there.kind == "FILE" and not there.mode & 0o200:
                    raise PermissionError(errno.EACCES, "the file may not be written", file)
            await self.sandbox.files.write(path, data, parents=True)

    async def _run(
        self, cmd: list[str], data: bytes, cwd: str, env: dict[str, str] | None, seconds: int | None
    ) -> ExecResult[str]:
        limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        kept = {"stdout": bytearray(), "stderr": bytearray()}
        async with (
            await self.sandbox.commands.start(*cmd, cwd=cwd, env=env, timeout=seconds) as process,
            process.feeding(data),
            aclosing(process.output()) as pieces,
        ):
            async for stream, piece in pieces:
                kept[stream] += piece
                if len(kept[stream]) > limit:
                    text = kept[stream][:limit].decode(errors="replace")
                    raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, text)
        ending = process.ending
        assert ending is not None, "output ends with the ending or an error"
        if ending.reason == "TIMEOUT":
            raise TimeoutError(ending.detail)
        if ending.reason == "SANDBOX_LOST":
            raise SandboxUnavailableError(ending.detail)
        stdout, stderr = (bytes(kept[name]).decode(errors="replace") for name in ("stdout", "stderr"))
        return ExecResult(success=ending.ok, returncode=_code(ending), stdout=stdout, stderr=stderr)


def _code(ending: Ending) -> int:
    if ending.exit_code is not None:
        return ending.exit_code
    return 128 + (ending.signal or 9)  # what is ended at a limit is killed


def _absolute(path: str) -> str:
    return str(PurePosixPath(WORKSPACE) / path)


def _check_user(user: str | None) -> None:
    if user not in (None, USER):
        raise SandboxUserUnsupportedError(f"a sandbox has one user, {USER!r}, and none may become {user!r}")


@contextmanager
def _os_errors(path: str) -> Iterator[None]:
    """Turns what the stack says of a file or program into the error that Inspect expects."""
    try:
        yield
    except StockadeError as error:
        number = error.metadata.get("errno", "")
        if error.reason in _LOST or error.code == "UNAVAILABLE":
            raise SandboxUnavailableError(error.message) from error
        if error.reason == "FILE_NOT_FOUND" or number == "ENOENT":
            raise FileNotFoundError(errno.ENOENT, error.message, path) from error
        kind: Callable[..., OSError] = _ERRORS.get(number, OSError)
        raise kind(getattr(errno, number, errno.EIO), error.message, path) from error


async def _left(stockade: AsyncStockade) -> list[str]:
    from stockade.sandbox.v1 import sandbox_service_pb2, sandbox_service_pb2_grpc

    service = stockade.stub(sandbox_service_pb2_grpc.SandboxServiceStub, "sandbox")
    answer = await service.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest(page_size=1000))
    return [each.name for each in answer.sandboxes if each.labels.get(LABEL) == "inspect"]
