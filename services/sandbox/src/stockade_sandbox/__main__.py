"""The sandbox service's process."""

from stockade_rpckit.server import run_service
from stockade_rpckit.settings import load

from stockade_sandbox.settings import PREFIX, Settings
from stockade_sandbox.wiring import wire


def main() -> None:
    """Serve until SIGTERM."""
    run_service("sandbox", load(Settings, PREFIX), wire)


if __name__ == "__main__":
    main()
