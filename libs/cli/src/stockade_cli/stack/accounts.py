"""Who each process runs as. Numeric ids from a high range, so that no account has to be made or cleaned up.

Three services share one group, by which they enter the operators' directories and read each other's sockets and
journals. The gate has a group of its own and no other: Envoy parses what agents send, and must not enter any
directory but `gate/`, into which the services follow it. A mesh's sidecar, which is no process of ours, is given
`sidecar/` in the same way.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """A uid, its primary gid and its further groups."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Accounts:
    """The accounts of one stack, counted from `base`."""

    base: int

    @property
    def services_gid(self) -> int:
        """The group of the services."""
        return self.base

    @property
    def gate_gid(self) -> int:
        """The group of the gate's directory and doors."""
        return self.base + 4

    @property
    def sidecar_gid(self) -> int:
        """The group of a sidecar's directory: whoever starts the sidecar puts it in there."""
        return self.base + 5

    def of(self, process: str) -> Account | None:
        """The account of a process by its short name; None for the one that stays root."""
        if process == "sandbox":  # cgroups, loop mounts and Docker's socket: root by nature
            return None
        if process == "gate":
            return Account(self.base + 4, self.gate_gid)
        uid = self.base + {"audit": 1, "policy": 2, "cache": 3}[process]
        return Account(uid, self.services_gid, (self.services_gid, self.gate_gid, self.sidecar_gid))
