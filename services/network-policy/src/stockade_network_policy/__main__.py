"""`stockade-network-policy`: serve policies, decisions and the gate until told to stop.

Whoever supervises Envoy asks this program what it needs: `bootstrap` prints Envoy's configuration, `envoy` its command
line as JSON, `firewall` the nftables rules for its user. `migrate` prepares the tables that replicas share.
"""

import argparse
import json
import pwd
import sys
from collections.abc import Callable

from stockade_rpckit import migrations
from stockade_rpckit.postgres import UrlRefused, check_url
from stockade_rpckit.server import run_service
from stockade_rpckit.settings import load, refuse

from stockade_network_policy.adapters.postgres import SCHEMA
from stockade_network_policy.gate import firewall
from stockade_network_policy.gate.bootstrap import render
from stockade_network_policy.gate.command import command
from stockade_network_policy.gate.settings import PREFIX, GateSettings
from stockade_network_policy.settings import PolicySettings
from stockade_network_policy.wiring import wire


def main() -> None:
    """Serve; or print what was asked for, or migrate, and end."""
    parser = argparse.ArgumentParser(prog="stockade-network-policy", description="Policies, decisions and the gate.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (_, what) in PRINTED.items():
        commands.add_parser(name, help=what)
    migrations.add_command(commands)
    arguments = parser.parse_args()
    if arguments.command in PRINTED:
        printed, _ = PRINTED[arguments.command]
        print(printed(load(GateSettings, PREFIX)))
        return
    settings = load(PolicySettings, "STOCKADE_POLICY")
    if arguments.command == "migrate":
        sys.exit(_migrate(settings, arguments))
    run_service("policy", settings, wire)


def _migrate(settings: PolicySettings, arguments: argparse.Namespace) -> int:
    if not settings.store:
        refuse("STOCKADE_POLICY_STORE is no postgresql:// URL: nothing to migrate")
    try:
        check_url(settings.store)
    except UrlRefused as error:
        refuse(f"STOCKADE_POLICY_STORE: {error}")
    return migrations.run_command(SCHEMA, [settings.store], arguments)


def _firewall(settings: GateSettings) -> str:
    uid = int(settings.user) if settings.user.isdecimal() else pwd.getpwnam(settings.user).pw_uid
    return firewall.rules(settings, uid, firewall.host_resolvers())


PRINTED: dict[str, tuple[Callable[[GateSettings], str], str]] = {
    "bootstrap": (render, "print Envoy's configuration"),
    "envoy": (lambda settings: json.dumps(command(settings)), "print Envoy's command line as JSON"),
    "firewall": (_firewall, "print the nftables rules for Envoy's user"),
}


if __name__ == "__main__":
    main()
