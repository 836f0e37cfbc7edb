"""nftables rules that hold the gate's uid to public addresses: a third layer beside Envoy's own two."""

import shutil
import subprocess

from stockade_cli.settings import StackSettings
from stockade_cli.stack.programs import ask_policy


def apply(settings: StackSettings) -> str:
    """Put the rules in force and answer their table's name; empty where this kernel or machine has no nftables."""
    if shutil.which("nft") is None:
        return ""
    rules = ask_policy(settings, "firewall")
    return rules.split()[2] if _nft(rules) else ""


def remove(table: str) -> None:
    """Take them away."""
    _nft(f"delete table inet {table}")


def _nft(rules: str) -> bool:
    return subprocess.run(["nft", "-f", "-"], input=rules, check=False, capture_output=True, text=True).returncode == 0
