"""What the service can be told, by variables STOCKADE_POLICY_<FIELD>."""

from dataclasses import dataclass
from pathlib import Path

from stockade_rpckit.settings import ServiceSettings

SHIPPED = Path(__file__).with_name("policies.yaml")


@dataclass(frozen=True, kw_only=True)
class PolicySettings(ServiceSettings):
    """Settings of network-policy. The gate's own are in `gate.settings`."""

    policy_file: Path = SHIPPED
    """The policies a new installation starts with; later edits through the service stand over it."""
    outcome_seconds: float = 300.0
    """How long an allowed request may give no sign of life before its outcome counts as unknown."""
