"""`stockade-network-policy`: serve policies, decisions and the gate until told to stop."""

import sys

from stockade_rpckit.server import run_service
from stockade_rpckit.settings import load

from stockade_network_policy.gate.bootstrap import render
from stockade_network_policy.gate.settings import PREFIX, GateSettings
from stockade_network_policy.settings import PolicySettings
from stockade_network_policy.wiring import wire


def main() -> None:
    """Serve; or, asked for `bootstrap`, print the gate's Envoy configuration."""
    if sys.argv[1:2] == ["bootstrap"]:
        print(render(load(GateSettings, PREFIX)))
        return
    run_service("policy", load(PolicySettings, "STOCKADE_POLICY"), wire)


if __name__ == "__main__":
    main()
