"""`stockade-network-policy`: serve policies, decisions and the gate until told to stop.

Whoever supervises Envoy asks this program what it needs: `bootstrap` prints Envoy's configuration, `envoy` its command
line as JSON, `firewall` the nftables rules for its user.
"""

import json
import pwd
import sys
from collections.abc import Callable

from stockade_rpckit.server import run_service
from stockade_rpckit.settings import load

from stockade_network_policy.gate import firewall
from stockade_network_policy.gate.bootstrap import render
from stockade_network_policy.gate.command import command
from stockade_network_policy.gate.settings import PREFIX, GateSettings
from stockade_network_policy.settings import PolicySettings
from stockade_network_policy.wiring import wire


def main() -> None:
    """Serve; or print what was asked for."""
    if sys.argv[1:] and sys.argv[1] in PRINTED:
        print(PRINTED[sys.argv[1]](load(GateSettings, PREFIX)))
        return
    run_service("policy", load(PolicySettings, "STOCKADE_POLICY"), wire)


def _firewall(settings: GateSettings) -> str:
    uid = int(settings.user) if settings.user.isdecimal() else pwd.getpwnam(settings.user).pw_uid
    return firewall.rules(settings, uid, firewall.host_resolvers())


PRINTED: dict[str, Callable[[GateSettings], str]] = {
    "bootstrap": render,
    "envoy": lambda settings: json.dumps(command(settings)),
    "firewall": _firewall,
}


if __name__ == "__main__":
    main()
