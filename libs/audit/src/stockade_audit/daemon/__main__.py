"""`stockade-auditd`."""

import sys

from stockade_rpckit.server import run_service
from stockade_rpckit.settings import load

from stockade_audit.daemon.settings import AuditSettings
from stockade_audit.daemon.wiring import wire


def main() -> None:
    """Serve until told to stop."""
    sys.setswitchinterval(0.001)  # indexing a backlog must not keep calls and the daemon's own journal waiting
    run_service("audit", load(AuditSettings, "STOCKADE_AUDIT"), wire)


if __name__ == "__main__":
    main()
