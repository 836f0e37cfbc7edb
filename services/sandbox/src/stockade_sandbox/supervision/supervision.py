"""All lines to all supervisors of this node."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from stockade_sandbox.domain.execution import Command, SupervisorAbsent
from stockade_sandbox.supervision.execution import Execution
from stockade_sandbox.supervision.health import Health
from stockade_sandbox.supervision.keeper import Keeper
from stockade_sandbox.supervision.post import Post
from stockade_sandbox.supervision.secrets import Secrets

_CONFIGURE_TIMEOUT_S = 5.0
_QUIESCE_TIMEOUT_S = 5.0
_HEARTBEAT_S = 15.0
_REDIAL_WAIT_S = 5.0
"""How long a call waits, after a restart of the service, for the sandbox to be found and its supervisor to dial."""


class Supervision:
    """Listens for supervisors and runs execs on them. One for the service; its methods belong to one event loop."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._posts: dict[str, Post] = {}
        self._opened = asyncio.Event()  # set when one more is

    # --- for the sandboxes' lifecycle

    async def open(self, sandbox: str, directory: Path, *, doors: bool, secrets: Secrets | None = None) -> None:
        """Creates `directory`/control.sock (mode 0666) and listens; a stale one is replaced.

        `doors`: whether the supervisor serves the HTTP proxy, the DNS stub and the transparent doors (WHITELISTED).
        `secrets`: what proves the supervisor where the kernel cannot say who dialled, and the host sees no process of
        the sandbox to put into a cgroup. Raises OSError. Opening an open sandbox is an error.
        """
        if sandbox in self._posts:
            raise ValueError(f"sandbox {sandbox} is open already")
        self._posts[sandbox] = Post(sandbox, directory, doors, self._keeper, secrets)
        self._opened.set()
        self._opened = asyncio.Event()

    def expect(self, sandbox: str, init_pid: int) -> None:
        """Names the one process, by its pid on the host, whose connection is taken as the supervisor's."""
        self._posts[sandbox].expect(init_pid)

    async def attached(self, sandbox: str, timeout_s: float) -> None:
        """Returns once the supervisor is on the line; raises SupervisorAbsent after `timeout_s` seconds."""
        await self._posts[sandbox].attached(timeout_s)

    async def set_doors(self, sandbox: str, doors: bool) -> None:
        """Opens or closes the doors of a running sandbox; returns once the supervisor has done so.

        Raises SupervisorAbsent; the wish stands, and is told to the supervisor when it is on the line again.
        """
        await self._posts[sandbox].set_doors(doors, _CONFIGURE_TIMEOUT_S)

    async def quiesce(self, sandbox: str) -> None:
        """Closes every connection between the supervisor and the host, until `wake`. Raises SupervisorAbsent."""
        await self._posts[sandbox].quiesce(_QUIESCE_TIMEOUT_S)

    def wake(self, sandbox: str) -> None:
        """Listens for it again."""
        if sandbox in self._posts:
            self._posts[sandbox].wake()

    def health(self, sandbox: str) -> Health:
        """How its supervisor does. Raises KeyError for a sandbox that is not open."""
        return self._posts[sandbox].health()

    def thawed(self, sandbox: str) -> None:
        """Tells that a frozen sandbox goes on."""
        if (post := self._posts.get(sandbox)) is not None:
            post.thawed()

    async def close(self, sandbox: str, why: str = "the sandbox was deleted") -> None:
        """Ends what runs as sandbox_lost, stops listening, removes the socket. Closing a closed one does nothing."""
        post = self._posts.pop(sandbox, None)
        if post is not None:
            post.close(why)

    async def heartbeat(self) -> None:
        """Asks every supervisor for a sign of life, for ever; a background task of the service."""
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            for post in self._posts.values():
                post.ping()

    async def shut_down(self) -> None:
        """Stops listening everywhere and lets go of every line, so that supervisors redial the next service."""
        for post in self._posts.values():
            post.close("the service stops", lost=False)
        self._posts.clear()

    # --- for the handlers

    async def start(
        self,
        sandbox: str,
        command: Command,
        *,
        file: dict[str, object] | None = None,
        request_id: str = "",
        permitted: Callable[[], Awaitable[None]] | None = None,
    ) -> Execution:
        """Starts a program, or with `file` an operation of the supervisor's own, and returns once it runs.

        `permitted` returns once it may do something, and raises where it may not; all is made ready meanwhile.
        Raises SupervisorAbsent, TooManyExecs, RequestIdReused, ProgramNotStarted. When the caller is cancelled
        meanwhile, the tree is killed.
        """
        post = await self._attended(sandbox)
        holder = object() if permitted is not None else None
        execution = post.start(command, file=file, request_id=request_id, held_by=holder)
        if permitted is not None:
            await _permission(execution, holder, permitted)
        await execution.started()
        return execution

    async def _attended(self, sandbox: str) -> Post:
        """The sandbox's post, once its supervisor is on the line. Raises SupervisorAbsent."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _REDIAL_WAIT_S
        while (post := self._posts.get(sandbox)) is None:
            try:
                async with asyncio.timeout_at(until):
                    await self._opened.wait()
            except TimeoutError:
                raise SupervisorAbsent(sandbox) from None
        await post.attached(until - loop.time())
        return post

    def post(self, sandbox: str) -> Post:
        """The sandbox's post. Raises SupervisorAbsent where it is not open."""
        try:
            return self._posts[sandbox]
        except KeyError:
            raise SupervisorAbsent(sandbox) from None


async def _permission(execution: Execution, holder: object, permitted: Callable[[], Awaitable[None]]) -> None:
    """Lets it go when it may; where it may not, there never was a program. One that another call holds is that's."""
    try:
        await permitted()
    except BaseException:
        if execution.held_by is holder and execution.ending is None:
            execution.failed(0, "permission")
        raise
    if execution.held_by is holder:
        execution.permit()
