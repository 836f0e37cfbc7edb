"""The gate's side of the stack, as `stockade-network-policy` says it: Envoy's configuration, the firewall's rules."""

import subprocess

from stockade_cli.errors import CommandFailed
from stockade_cli.settings import StackSettings
from stockade_cli.stack.programs import environment, executable, gate_environment


def write_configuration(settings: StackSettings) -> None:
    """Render Envoy's configuration to where the gate reads it. Raises CommandFailed."""
    path = settings.run_dir / "gate" / "envoy.yaml"
    path.write_text(ask(settings, "bootstrap"))
    path.chmod(0o640)


def ask(settings: StackSettings, *words: str) -> str:
    """What a sub-command of the policy service prints. Raises CommandFailed with its last line."""
    done = subprocess.run(
        [executable("stockade-network-policy"), *words],
        check=False,
        capture_output=True,
        text=True,
        env=environment(gate_environment(settings)),
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise CommandFailed(f"the gate: {lines[-1].removeprefix('stockade: ') if lines else 'no word why'}")
    return done.stdout
