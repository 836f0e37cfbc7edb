"""Where the execs of one sandbox are put: a cgroup for each, below its container's."""

import asyncio

from stockade_rpckit import threads
from stockade_rpckit.logs import get_logger

from stockade_sandbox.cgroups import ContainerCgroup, ExecCgroup, NoCgroup

_LINGER_S = 0.05
"""The next cgroup that is made takes along what was used until now; this long one may be waited for."""

_log = get_logger(__name__)


class Placement:
    """Makes and removes those cgroups. In tiers without one for the container there are none."""

    def __init__(self, sandbox: str, own_kernel: bool = False) -> None:
        """`own_kernel`: the host sees none of its processes (gVisor)."""
        self._sandbox, self._own_kernel = sandbox, own_kernel
        self._container: ContainerCgroup | None = None
        self._lingering: list[ExecCgroup] = []
        self._used: ExecCgroup | None = None  # the last of those that may serve once more
        self._tidying: set[asyncio.Task[None]] = set()

    @property
    def possible(self) -> bool:
        """Whether execs have cgroups here."""
        return self._container is not None

    def find(self, init_pid: int) -> None:
        """Finds the container's, and protects its init."""
        if self._own_kernel:
            return
        try:
            self._container = ContainerCgroup.of(init_pid)
            self._container.protect_init()
        except NoCgroup as error:
            _log.warning("no cgroup of its own", extra={"sandbox": self._sandbox, "error": str(error)})
            self._container = None

    def known(self, name: str) -> ExecCgroup | None:
        """The cgroup of an exec from before this service started."""
        return self._container.make(name) if self._container is not None else None

    async def make(self, exec_id: str) -> ExecCgroup:
        """A cgroup for an exec: what the last one had, or a new one, named like it. Raises OSError.

        Off the loop: while an engine moves processes, none can be made.
        """
        assert self._container is not None
        used, self._used = self._used, None
        if used is not None and used.renew():
            self._lingering.remove(used)
            return used
        lingering, self._lingering = self._lingering, []
        try:
            return await threads.run(_renewed, self._container, exec_id, lingering)
        finally:
            self._lingering += lingering

    async def admit(self, cgroup: ExecCgroup, pid: int) -> None:
        """Sees to it that a child, `pid` as the sandbox counts, is in its cgroup. Raises OSError."""
        if not cgroup.admit(pid):
            assert self._container is not None
            await threads.run(self._container.move, pid, cgroup)

    def oom_kills(self) -> int:
        """Processes of the container itself, the init that is, that the kernel killed for memory."""
        return self._container.oom_kills() if self._container is not None else 0

    def remove(self, cgroup: ExecCgroup | None, reusable: bool = False) -> None:
        """Removes it soon; while something runs in it, when the next one is removed.

        `reusable`: nothing is about to enter it, or to kill what is in it, so that the next exec may have it.
        """
        if cgroup is not None:
            self._used = cgroup if reusable else self._used
            self._lingering.append(cgroup)
            asyncio.get_running_loop().call_later(_LINGER_S, self._tidy)

    def _tidy(self) -> None:
        task = asyncio.get_running_loop().create_task(self._removed())
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def _removed(self) -> None:
        lingering, self._lingering, self._used = self._lingering, [], None
        if lingering:
            await threads.run(_remove, lingering)
            self._lingering += lingering


def _renewed(container: ContainerCgroup, exec_id: str, lingering: list[ExecCgroup]) -> ExecCgroup:
    _remove(lingering)
    return container.make(exec_id)


def _remove(cgroups: list[ExecCgroup]) -> None:
    """Removes those that nothing runs in, and leaves the others in the list."""
    cgroups[:] = [cgroup for cgroup in cgroups if not cgroup.remove()]
