"""What the sandbox service can be told: `STOCKADE_SANDBOX_<FIELD>`, each with its default here."""

from dataclasses import dataclass
from pathlib import Path

from stockade_rpckit.settings import ServiceSettings

from stockade_sandbox.domain.admission import Rules
from stockade_sandbox.domain.sandbox import Tier

PREFIX = "STOCKADE_SANDBOX"
PROFILES = Path(__file__).with_name("profiles.yaml")


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """The settings of one node."""

    node: str = "node-0"
    """This node's name, which no other of the fleet may have."""
    registry_away: str = "deny"
    """What becomes of creates while the registry at STOCKADE_SANDBOX_REGISTRY_URL is away: deny, or local: this node
    takes them, and counts quotas by itself."""
    engine: str = "unix:///run/stockade-engine/docker.sock"
    """Address of the Docker engine, as in DOCKER_HOST."""
    supervisor_dir: Path = Path("/var/lib/stockade/supervisor")
    """The folder that deploy/images/supervisor/build made."""
    profiles: Path = PROFILES
    """The catalogue of profiles."""
    default_image: str = "stockade/agent:latest"
    """The image of a request that names none."""
    images: tuple[str, ...] = ("stockade/*",)
    """Images that may run, as shell patterns."""
    tiers: tuple[str, ...] = ("RUNC",)
    """The tiers of this node: RUNC, GVISOR (deploy/host/runsc) or both; without Docker NAMESPACE (bubblewrap, root)."""
    namespace_images: Path = Path("/var/lib/stockade/roots")
    """Unpacked images of the NAMESPACE tier, each a directory named like it with every / and : replaced by +."""
    accept_lower_tier: bool = False
    """Whether an agent type whose profile wants more than this node has runs in the strongest tier that it has."""
    allow_host_network: bool = False
    """Whether network mode HOST may be asked for. No gate stands in front of such a sandbox."""
    default_lifetime_seconds: float = 3600.0
    """Lifetime of a sandbox whose request names none."""
    max_lifetime_seconds: float = 86400.0
    """Longest lifetime and idle timeout that may be asked for."""
    default_idle_seconds: float = 900.0
    """Idle timeout of a sandbox whose request names none."""
    keep_ended_seconds: float = 3600.0
    """How long an ended sandbox is still told of."""
    warm: tuple[str, ...] = ("default:1", "std:1", "work:1")
    """Started sandboxes of the default image that wait for a claim, as class:count."""
    sandboxes_per_owner: int = 100
    """Living sandboxes that one principal may have."""
    sandboxes_per_node: int = 500
    """Living sandboxes that this node takes."""
    uid_base: int = 1_900_000_000
    """First host uid of sandboxes."""
    uid_count: int = 65_536
    """How many uids from there on are ours."""
    disk_reserve_mib: int = 1024
    """Room on the host's disk that no sandbox may take."""
    disk_mib_per_second: int = 64
    """How fast a sandbox may read and write its disk, each; 0: as fast as the host's disk is."""
    gate_group: str = "stockade-gate"
    """Group, by name or number, that Envoy runs under: it creates its sockets in the sandboxes' directories."""

    def rules(self) -> Rules:
        """What the operator permits. Raises ValueError for a tier that is not served."""
        if set(self.tiers) not in ({"RUNC"}, {"GVISOR"}, {"RUNC", "GVISOR"}, {"NAMESPACE"}):
            wrong = ",".join(self.tiers)
            raise ValueError(f"{PREFIX}_TIERS: a node serves RUNC, GVISOR, RUNC,GVISOR or NAMESPACE, not {wrong!r}")
        return Rules(
            default_image=self.default_image,
            images=(*self.images, self.default_image),
            tiers=frozenset(Tier[tier] for tier in self.tiers),
            accept_lower_tier=self.accept_lower_tier,
            allow_host_network=self.allow_host_network,
            default_lifetime=self.default_lifetime_seconds,
            max_lifetime=self.max_lifetime_seconds,
            default_idle_timeout=self.default_idle_seconds,
            sandboxes_per_owner=self.sandboxes_per_owner,
            sandboxes_per_node=self.sandboxes_per_node,
        )
