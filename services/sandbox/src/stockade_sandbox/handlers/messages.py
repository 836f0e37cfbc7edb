"""Between the contract's messages and the domain's values."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.sandbox.v1 import node_service_pb2, profile_service_pb2, sandbox_pb2, sandbox_service_pb2

from stockade_sandbox.domain.node import Node, NodeState
from stockade_sandbox.domain.profile import Profile
from stockade_sandbox.domain.sandbox import Filter, Limits, NetworkMode, Request, Sandbox, State, Tier
from stockade_sandbox.domain.snapshot import Snapshot
from stockade_sandbox.domain.usage import Network, Usage


def timestamp(seconds: float) -> Timestamp | None:
    """Seconds since the epoch; 0 is no time."""
    if not seconds:
        return None
    message = Timestamp()
    message.FromNanoseconds(int(seconds * 1e9))
    return message


def duration(seconds: float) -> Duration:
    """Seconds."""
    message = Duration()
    message.FromNanoseconds(int(seconds * 1e9))
    return message


def seconds(message: Duration) -> float:
    """Seconds of a duration."""
    return float(message.ToNanoseconds()) / 1e9


def limits_message(limits: Limits) -> sandbox_pb2.Limits:
    """To the contract."""
    return sandbox_pb2.Limits(cpu=limits.cpu, memory_bytes=limits.memory, disk_bytes=limits.disk, pids=limits.pids)


def limits_value(message: sandbox_pb2.Limits) -> Limits:
    """From the contract."""
    return Limits(message.cpu, message.memory_bytes, message.disk_bytes, message.pids)


def sandbox_message(sandbox: Sandbox, active_at: float) -> sandbox_pb2.Sandbox:
    """To the contract."""
    return sandbox_pb2.Sandbox(
        name=sandbox.name,
        agent=sandbox.agent,
        agent_type=sandbox.agent_type,
        image=sandbox.image,
        image_digest=sandbox.image_digest,
        state=f"SANDBOX_STATE_{sandbox.state}",
        state_reason=f"STATE_REASON_{sandbox.reason}",
        state_message=sandbox.message[:1024],
        profile=sandbox.profile,
        agent_type_known=sandbox.agent_type_known,
        limits=limits_message(sandbox.limits),
        tier=f"TIER_{sandbox.tier.name}",
        network_mode=f"NETWORK_MODE_{sandbox.network_mode.name}",
        gated=sandbox.gated,
        allowed_domains=sandbox.allowed_domains,
        labels=sandbox.labels,
        create_time=timestamp(sandbox.created_at),
        expire_time=timestamp(sandbox.expires_at),
        idle_timeout=duration(sandbox.idle_timeout),
        active_time=timestamp(active_at),
        end_time=timestamp(sandbox.ended_at),
        etag=sandbox.etag,
        node=sandbox.node,
        trace_id=sandbox.trace_id,
        warnings=sandbox.warnings,
    )


def request_value(message: sandbox_service_pb2.CreateSandboxRequest) -> Request:
    """From the contract."""
    return Request(
        agent=message.agent,
        agent_type=message.agent_type,
        image=message.image,
        limits=limits_value(message.limits),
        network_mode=NetworkMode(message.network_mode) if message.network_mode else None,
        allowed_domains=tuple(message.allowed_domains),
        env=dict(message.env),
        lifetime=seconds(message.lifetime) if message.HasField("lifetime") else None,
        idle_timeout=seconds(message.idle_timeout) if message.HasField("idle_timeout") else None,
        least_tier=Tier(message.least_tier) if message.least_tier else None,
        labels=dict(message.labels),
        request_id=message.request_id,
    )


def filter_value(message: sandbox_service_pb2.SandboxFilter) -> Filter:
    """From the contract."""
    names = [sandbox_pb2.SandboxState.Name(state).removeprefix("SANDBOX_STATE_") for state in message.states]
    return Filter(
        agent=message.agent,
        agent_type=message.agent_type,
        states=frozenset(State(name) for name in names),
        labels=dict(message.labels),
        names=frozenset(message.names),
        node=message.node,
    )


def profile_message(profile: Profile) -> profile_service_pb2.Profile:
    """To the contract."""
    return profile_service_pb2.Profile(
        **{"class": profile.sandbox_class},
        name=profile.name,
        aliases=profile.aliases,
        limits=limits_message(profile.limits),
        tier=f"TIER_{profile.tier.name}",
        network_mode=f"NETWORK_MODE_{profile.network_mode.name}",
    )


def node_message(node: Node) -> node_service_pb2.Node:
    """To the contract."""
    return node_service_pb2.Node(
        name=node.name,
        cordoned=node.state in (NodeState.CORDONED, NodeState.DRAINING),
        engine=node.engine,
        tiers=[f"TIER_{tier.name}" for tier in node.tiers],
        sandboxes=node.sandboxes,
        sandbox_limit=node.sandbox_limit,
        warm_sandboxes=node.warm,
        promised=limits_message(node.promised),
        capacity=limits_message(node.capacity),
        start_time=timestamp(node.started_at),
        state=f"NODE_STATE_{node.state}",
        heartbeat_time=timestamp(node.heard_at),
    )


def snapshot_message(snapshot: Snapshot) -> sandbox_pb2.Snapshot:
    """To the contract."""
    return sandbox_pb2.Snapshot(
        name=snapshot.name,
        sandbox=snapshot.sandbox,
        agent=snapshot.agent,
        agent_type=snapshot.agent_type,
        image=snapshot.image,
        tier=f"TIER_{snapshot.tier.name}",
        with_memory=snapshot.with_memory,
        size_bytes=snapshot.size,
        create_time=timestamp(snapshot.created_at),
    )


def usage_message(usage: Usage) -> sandbox_pb2.SandboxUsage:
    """To the contract."""
    cpu, memory, pids, disk = usage.cpu, usage.memory, usage.pids, usage.disk
    return sandbox_pb2.SandboxUsage(
        read_time=timestamp(usage.read_at),
        cpu=sandbox_pb2.CpuUsage(
            total=duration(cpu.total_s),
            user=duration(cpu.user_s),
            system=duration(cpu.system_s),
            periods=cpu.periods,
            throttled_periods=cpu.throttled_periods,
            throttled=duration(cpu.throttled_s),
        ),
        memory=sandbox_pb2.MemoryUsage(
            used_bytes=memory.used,
            peak_bytes=memory.peak,
            cache_bytes=memory.cache,
            swap_bytes=memory.swap,
            limit_bytes=memory.limit,
            oom_kills=memory.oom_kills,
        ),
        pids=sandbox_pb2.PidsUsage(used=pids.used, limit=pids.limit, refused=pids.refused),
        disk=sandbox_pb2.DiskUsage(
            used_bytes=disk.used,
            limit_bytes=disk.limit,
            used_inodes=disk.inodes_used,
            limit_inodes=disk.inodes_limit,
        ),
        network=_network_message(usage.network) if usage.network else None,
    )


def _network_message(network: Network) -> sandbox_pb2.NetworkUsage:
    return sandbox_pb2.NetworkUsage(
        sent_bytes=network.sent,
        received_bytes=network.received,
        allowed_requests=network.allowed,
        refused_requests=network.refused,
    )
