"""Where the execs of one sandbox are put: a cgroup for each, below its container's."""

import asyncio

from stockade_rpckit import threads
from stockade_rpckit.logs import get_logger

from stockade_sandbox.cgroups import ContainerCgroup, ExecCgroup, NoCgroup

_LINGER_S = 0.05
"""The next child that is prepared takes along what was used until now; this long one may be waited for."""

_log = get_logger(__name__)


class Placement:
    """Makes and removes those cgroups. In tiers without one for the container there are none."""

    def __init__(self, sandbox: str, own_kernel: bool = False) -> None:
        """`own_kernel`: the host sees none of its processes (gVisor)."""
        self._sandbox, self._own_kernel = sandbox, own_kernel
        self._container: ContainerCgroup | None = None
        self._lingering: list[ExecCgroup] = []

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

    def known(self, exec_id: str) -> ExecCgroup | None:
        """The cgroup of an exec from before this service started."""
        return self._container.make(exec_id) if self._container is not None else None

    def admit(self, exec_id: str, pid: int) -> ExecCgroup | None:
        """The cgroup of an exec with its child in it, `pid` as the sandbox counts. Raises OSError, having left none."""
        return _admitted(self._container, exec_id, pid) if self._container is not None else None

    async def prepare(self, exec_id: str, pid: int) -> ExecCgroup:
        """As `admit`, off the loop: where many processes are forked, the kernel lets nobody move one for a while."""
        assert self._container is not None
        lingering, self._lingering = self._lingering, []
        try:
            return await threads.run(_renewed, self._container, exec_id, pid, lingering)
        finally:
            self._lingering += lingering

    def oom_kills(self) -> int:
        """Processes of the container itself, the init that is, that the kernel killed for memory."""
        return self._container.oom_kills() if self._container is not None else 0

    def remove(self, cgroup: ExecCgroup | None) -> None:
        """Removes it soon; while something runs in it, when the next one is removed."""
        if cgroup is not None:
            self._lingering.append(cgroup)
            asyncio.get_running_loop().call_later(_LINGER_S, self._tidy)

    def _tidy(self) -> None:
        _remove(self._lingering)


def _renewed(container: ContainerCgroup, exec_id: str, pid: int, lingering: list[ExecCgroup]) -> ExecCgroup:
    _remove(lingering)
    return _admitted(container, exec_id, pid)


def _admitted(container: ContainerCgroup, exec_id: str, pid: int) -> ExecCgroup:
    cgroup = container.make(exec_id)
    try:
        cgroup.admit(container.host_pid(pid))
    except OSError:
        cgroup.remove()
        raise
    return cgroup


def _remove(cgroups: list[ExecCgroup]) -> None:
    """Removes those that nothing runs in, and leaves the others in the list."""
    cgroups[:] = [cgroup for cgroup in cgroups if not cgroup.remove()]
