"""What the daemon can be told, by STOCKADE_AUDIT_<FIELD>."""

from dataclasses import dataclass
from pathlib import Path

from stockade_rpckit.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class AuditSettings(ServiceSettings):
    """See `ServiceSettings` for run_dir, state_dir and the rest."""

    node: str = ""
    """This machine's name among those that share a witness or a copy; choose it before the first start."""
    witness: str = ""
    """Who keeps the heads: a directory on storage of another owner, postgresql://… or another machine's daemon as
    unix:/path. By default the directory state_dir/audit/witness."""
    ship_to: str = ""
    """postgresql://… of the copy of all journals; a password lies in a file, ?passfile=/path. Empty for no copy."""
    fleet: str = ""
    """postgresql://… that has all nodes' heads and copies: this daemon signs the fleet's head over them. Only one
    daemon of a fleet may have it; empty for none."""
    otlp_endpoint: str = ""
    """Collector that gets a copy of all spans by OTLP over gRPC, as host:port or http://host:port; empty for none."""
    retention: tuple[str, ...] = ()
    """How many months what is personal stays readable, by class: decision=13,claim=1. Classes are decision, activity,
    access and claim; one that is not named is kept until its subject is erased."""
    tombstones: Path = Path()
    """File of the keys that were destroyed; put it where no restore of a backup reaches. By default in the directory of
    the witness, or else state_dir/audit/tombstones.ndjson."""
    span_days: float = 7.0
    """How long spans are kept."""
    span_limit: int = 1_000_000
    """How many spans are kept."""

    @property
    def directory(self) -> Path:
        """Where the daemon keeps its own."""
        return self.state_dir / "audit"

    @property
    def journals(self) -> Path:
        """Where every service has its slot."""
        return self.directory / "journals"

    @property
    def witness_directory(self) -> Path:
        """Where heads are handed to, when that is a directory."""
        return Path(self.witness) if self.witness else self.directory / "witness"

    @property
    def tombstones_file(self) -> Path:
        """Where it is kept which keys were destroyed."""
        if self.tombstones != Path():
            return self.tombstones
        is_directory = not self.witness.startswith(("postgresql:", "postgres:", "unix:"))
        return (self.witness_directory if is_directory else self.directory) / "tombstones.ndjson"
