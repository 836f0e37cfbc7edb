"""The gate: Envoy's configuration, the doors of sandboxes, the judge, and how each request ended."""

from stockade_network_policy.gate.command import command
from stockade_network_policy.gate.settings import GateSettings

__all__ = ["GateSettings", "command"]
