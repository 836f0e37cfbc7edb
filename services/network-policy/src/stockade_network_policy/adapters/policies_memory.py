"""Policies in memory: for tests, and the shape of every other store."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from stockade_network_policy.domain.policy import Change, Policy, Version
from stockade_network_policy.domain.ports import SEED, Write, next_version, seed_write


class MemoryPolicies:
    """See `PolicyStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[str, list[Version]] = {}
        self._requests: dict[str, Version] = {}
        self._revision = 0

    def revision(self) -> int:
        """See `PolicyStore`."""
        return self._revision

    def policies(self) -> list[Policy]:
        """See `PolicyStore`."""
        with self._lock:
            last = [self._versions[agent_type][-1] for agent_type in sorted(self._versions)]
        return [version.policy for version in last if version.change is not Change.DELETED]

    def write(self, writes: Sequence[Write], *, by: str, now_ns: int) -> list[Policy]:
        """See `PolicyStore`."""
        with self._lock:
            made = [next_version(self._last(w.policy.agent_type), w, by=by, now_ns=now_ns) for w in writes]
            for write, version in zip(writes, made, strict=True):
                self._versions.setdefault(version.policy.agent_type, []).append(version)
                self._revision += 1
                if write.request_id:
                    self._requests[write.request_id] = version
            return [version.policy for version in made]

    def seed(self, policies: Sequence[Policy], *, now_ns: int) -> None:
        """See `PolicyStore`."""
        writes = [seed_write(self._last(policy.agent_type), policy) for policy in policies]
        self.write([write for write in writes if write is not None], by=SEED, now_ns=now_ns)

    def versions(self, agent_type: str, *, below: int, limit: int) -> list[Version]:
        """See `PolicyStore`."""
        with self._lock:
            kept = [v for v in self._versions.get(agent_type, []) if v.policy.version < below]
        return kept[::-1][:limit]

    def find_request(self, request_id: str) -> Version | None:
        """See `PolicyStore`."""
        return self._requests.get(request_id)

    def close(self) -> None:
        """See `PolicyStore`."""

    def _last(self, agent_type: str) -> Version | None:
        return self._versions.get(agent_type, [None])[-1]  # type: ignore[list-item]
