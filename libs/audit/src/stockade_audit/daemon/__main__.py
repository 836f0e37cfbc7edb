"""`stockade-auditd`: serves the record; `stockade-auditd migrate` prepares the tables of its copy and witness."""

import argparse
import sys

from stockade_rpckit import migrations
from stockade_rpckit.server import run_service
from stockade_rpckit.settings import load

from stockade_audit.daemon.migration import migrate
from stockade_audit.daemon.settings import AuditSettings
from stockade_audit.daemon.wiring import wire


def main() -> None:
    """Serve until told to stop, or migrate and end."""
    parser = argparse.ArgumentParser(prog="stockade-auditd", description="The audit record's daemon.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    migrations.add_command(commands)
    arguments = parser.parse_args()
    settings = load(AuditSettings, "STOCKADE_AUDIT")
    if arguments.command == "migrate":
        sys.exit(migrate(settings, arguments))
    sys.setswitchinterval(0.001)  # indexing a backlog must not keep calls and the daemon's own journal waiting
    run_service("audit", settings, wire)


if __name__ == "__main__":
    main()
