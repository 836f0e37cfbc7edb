"""What the service can be told, by variables STOCKADE_POLICY_<FIELD>."""

from dataclasses import dataclass
from pathlib import Path

from stockade_rpckit.settings import ServiceSettings

from stockade_network_policy import names

SHIPPED = Path(__file__).with_name("policies.yaml")


@dataclass(frozen=True, kw_only=True)
class PolicySettings(ServiceSettings):
    """Settings of network-policy. The gate's own are in `gate.settings`."""

    policy_file: Path = SHIPPED
    """The policies a new installation starts with; later edits through the service stand over it."""
    store: str = ""
    """Where policies and limits of messages lie: postgresql://… for replicas that share them, a password in a file,
    ?passfile=/path; empty for SQLite in state_dir."""
    outcome_seconds: float = 300.0
    """How long an allowed request may give no sign of life before its outcome counts as unknown."""
    limits: str = "memory"
    """Where agents' requests are counted: memory, for one process, or redis, for many that count as one."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """The Redis that counts: redis://, rediss:// or unix://; for a cluster, any of its nodes."""
    redis_cluster: bool = False
    """Whether that Redis is a cluster."""
    redis_eviction_ok: bool = False
    """Whether that Redis may throw counters away when its memory is full; then limits may be granted twice."""
    redis_away: str = "deny"
    """What holds while Redis does not answer: deny, or local, which counts here at a share of each limit."""
    redis_away_share: float = 0.3
    """That share; with n replicas, 1/n lets through no more than the whole limit."""
    names_per_minute: int = names.PER_MINUTE
    """How many names, of those that its policy does not spell out, one agent may have looked up; 0: any number."""
    lease_seconds: float = 30.0
    """How long tokens may be out on lease."""
    snapshot_seconds: float = 60.0
    """How long an agent may decide by a policy snapshot without hearing from us."""
