"""What can be wrong with what was asked of the policies, in the domain's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake in a policy or a policy file, with its mend."""

    field: str  # "policies.test-generator.allowed_domains[2]"
    message: str
    mend: str
    line: int = 0  # in the file, from 1; 0 where there is none

    def __str__(self) -> str:
        return f"{self.field}: {self.message}; {self.mend}"


class PolicyError(Exception):
    """Something asked of the policies cannot be done."""


class PolicyInvalid(PolicyError):
    """A policy, or a file of them, has mistakes."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        more = f", and {len(mistakes) - 1} more" if len(mistakes) > 1 else ""
        super().__init__(f"{mistakes[0]}{more}")
        self.mistakes = tuple(mistakes)


class PolicyNotFound(PolicyError):
    """The agent type has no policy of its own, or not that version of it."""

    def __init__(self, agent_type: str, version: int = 0) -> None:
        super().__init__(
            f"{agent_type} has no version {version}; `stockade policy show {agent_type}` says which is the current one"
            if version
            else f"{agent_type} has no policy of its own; `stockade policy list` shows those there are"
        )
        self.agent_type = agent_type


class PolicyExists(PolicyError):
    """The agent type has a policy already."""

    def __init__(self, agent_type: str) -> None:
        super().__init__(f"{agent_type} has a policy already; update it")
        self.agent_type = agent_type


class PolicyRequired(PolicyError):
    """`default` cannot be deleted."""

    def __init__(self) -> None:
        super().__init__("default cannot be deleted: it holds for every type without a policy; update it")


class EtagMismatch(PolicyError):
    """The policy changed since its etag was read."""

    def __init__(self, agent_type: str, current: str) -> None:
        super().__init__(f"the policy of {agent_type} changed since it was read; its etag is {current} now: read again")
        self.current = current


class RequestIdReused(PolicyError):
    """The request id came before with another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id} was used before with another policy; use a new one")
        self.request_id = request_id


class PoliciesUnavailable(Exception):
    """The store of policies does not answer, or takes no writes; what it said last holds on."""


class LimitsUnavailable(Exception):
    """The engine that counts limits does not answer."""


class LimitsRefused(LimitsUnavailable):
    """The engine that counts does not let us in."""


class LeaseUnavailable(Exception):
    """Nothing can be lent now."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LeaseNotFound(Exception):
    """No such lease of this caller."""

    def __init__(self, lease_id: str) -> None:
        super().__init__(f"no lease {lease_id} of yours; take another")
        self.lease_id = lease_id


class LeaseExpired(Exception):
    """The lease has ended, and what it had open is closed."""

    def __init__(self, lease_id: str) -> None:
        super().__init__(f"lease {lease_id} has ended; take another")
        self.lease_id = lease_id
