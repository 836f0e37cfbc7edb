"""`stockade-auditd`."""

from stockade_rpckit.server import run_service
from stockade_rpckit.settings import load

from stockade_audit.daemon.settings import AuditSettings
from stockade_audit.daemon.wiring import wire


def main() -> None:
    """Serve until told to stop."""
    run_service("audit", load(AuditSettings, "STOCKADE_AUDIT"), wire)


if __name__ == "__main__":
    main()
