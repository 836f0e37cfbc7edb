"""A snapshot as a value: whose files it holds, and what a sandbox made from it will be."""

from dataclasses import dataclass

from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Request, Sandbox, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A copy of a sandbox's files. `size` is what it takes on the host's disk; times are seconds since the epoch."""

    name: str
    sandbox: str
    agent: str
    agent_type: str
    image: str
    limits: Limits
    tier: Tier
    network_mode: NetworkMode
    allowed_domains: tuple[str, ...]
    size: int
    created_at: float
    with_memory: bool = False
    uid: int = 0
    """Whom live memory runs as."""


def snapshot_of(sandbox: Sandbox, name: str, size: int, created_at: float, with_memory: bool = False) -> Snapshot:
    """The snapshot called `name` of `sandbox`."""
    return Snapshot(
        name=name,
        sandbox=sandbox.name,
        agent=sandbox.agent,
        agent_type=sandbox.agent_type,
        image=sandbox.image,
        limits=sandbox.limits,
        tier=sandbox.tier,
        network_mode=sandbox.network_mode,
        allowed_domains=sandbox.allowed_domains,
        size=size,
        created_at=created_at,
        with_memory=with_memory,
        uid=sandbox.uid,
    )


def request_from(snapshot: Snapshot, lifetime: float | None, request_id: str) -> Request:
    """The request that makes a sandbox of it; profile and rules hold it as any other."""
    return Request(
        agent=snapshot.agent,
        agent_type=snapshot.agent_type,
        image=snapshot.image,
        limits=snapshot.limits,
        network_mode=snapshot.network_mode,
        allowed_domains=snapshot.allowed_domains,
        lifetime=lifetime,
        least_tier=snapshot.tier,
        request_id=request_id,
        snapshot=snapshot.name,
        memory_of=snapshot.uid if snapshot.with_memory else 0,
    )
