"""nftables rules that hold the gate's uid to public addresses: a third layer beside Envoy's own two."""

import shutil
import subprocess

from stockade_cli.settings import StackSettings
from stockade_cli.stack.gate import ask


def apply(settings: StackSettings) -> bool:
    """Put the rules in force. False where nftables cannot: the gate's own two layers stand without it."""
    return shutil.which("nft") is not None and _nft(ask(settings, "firewall"))


def remove(settings: StackSettings) -> None:
    """Take them away."""
    _nft(ask(settings, "firewall", "--remove"))


def _nft(rules: str) -> bool:
    return subprocess.run(["nft", "-f", "-"], input=rules, check=False, capture_output=True, text=True).returncode == 0
