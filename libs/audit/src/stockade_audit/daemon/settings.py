"""What the daemon can be told, by STOCKADE_AUDIT_<FIELD>."""

from dataclasses import dataclass
from pathlib import Path

from stockade_rpckit.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class AuditSettings(ServiceSettings):
    """See `ServiceSettings` for run_dir, state_dir and the rest."""

    witness: Path = Path()
    """Directory of the witness; put it on storage of another owner. By default state_dir/audit/witness."""
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
        """Where heads are handed to."""
        return self.witness if self.witness != Path() else self.directory / "witness"

    @property
    def tombstones_file(self) -> Path:
        """Where it is kept which keys were destroyed."""
        return self.tombstones if self.tombstones != Path() else self.witness_directory / "tombstones.ndjson"
