"""Which processes make a stack, in the order in which they start."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stockade_cli.errors import CommandFailed
from stockade_cli.settings import StackSettings
from stockade_cli.stack.accounts import Accounts
from stockade_cli.stack.checkout import checkout, envoy
from stockade_cli.stack.engine import has_gvisor
from stockade_cli.stack.health import Probe, gate_probe, service_probe
from stockade_cli.stack.launch import command_line
from stockade_cli.stack.process import Program

_INHERITED = ("PATH", "LANG", "TZ", "COVERAGE_", "OTEL_")
"""Of the caller's environment no more reaches a process, beside the settings of its own."""


@dataclass(frozen=True)
class Service:
    """A service: its short name, its executable, and the prefix of its settings."""

    name: str
    executable: str
    prefix: str


# The record first: nothing happens that could not be written down. The gate needs the policies, sandboxes need all.
AUDIT = Service("audit", "stockade-auditd", "STOCKADE_AUDIT")
POLICY = Service("policy", "stockade-network-policy", "STOCKADE_POLICY")
CACHE = Service("cache", "stockade-embedding-cache", "STOCKADE_CACHE")
SANDBOX = Service("sandbox", "stockade-sandbox", "STOCKADE_SANDBOX")

GATE_PREFIX = "STOCKADE_GATE"


def programs(settings: StackSettings, engine: str) -> list[Program]:
    """Everything that runs, in order. Raises CommandFailed."""
    gate_gid = Accounts(settings.uid_base).gate_gid
    return [
        _service(settings, AUDIT),
        _service(settings, POLICY, gate_environment(settings)),
        _gate(settings),
        _service(settings, CACHE),
        _service(settings, SANDBOX, sandbox_environment(engine, gate_gid)),
    ]


def sandbox_environment(engine: str, gate_gid: int) -> dict[str, str]:
    """What the stack knows better than the caller; the tiers, where the caller has not named them."""
    tiers = "RUNC,GVISOR" if has_gvisor(engine) else "RUNC"
    return {
        "STOCKADE_SANDBOX_ENGINE": engine,
        "STOCKADE_SANDBOX_GATE_GROUP": str(gate_gid),
        "STOCKADE_SANDBOX_TIERS": os.environ.get("STOCKADE_SANDBOX_TIERS", tiers),
    }


def gate_environment(settings: StackSettings) -> dict[str, str]:
    """The gate's settings: the caller's own, and what the stack knows better."""
    return _settings_of(GATE_PREFIX) | {
        "STOCKADE_GATE_RUN_DIR": str(settings.run_dir),
        "STOCKADE_GATE_ENVOY": str(envoy()),
        "STOCKADE_GATE_USER": str(Accounts(settings.uid_base).gate_gid),
    }


def write_gate_configuration(settings: StackSettings) -> None:
    """Render Envoy's configuration to where the gate reads it. Raises CommandFailed."""
    path = settings.run_dir / "gate" / "envoy.yaml"
    path.write_text(ask_policy(settings, "bootstrap"))
    path.chmod(0o640)


def environment(*more: Mapping[str, str]) -> dict[str, str]:
    """A process's whole environment: the few variables that pass through, and `more`."""
    passed = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
    return passed | {name: value for mapping in more for name, value in mapping.items()}


def executable(name: str) -> str:
    """A program of this command's own environment."""
    return str(Path(sys.executable).with_name(name))


def _service(settings: StackSettings, service: Service, more: Mapping[str, str] | None = None) -> Program:
    places = {
        f"{service.prefix}_RUN_DIR": str(settings.run_dir),
        f"{service.prefix}_STATE_DIR": str(settings.state_dir),
    }
    return Program(
        service.name,
        _command(settings, service.name, [executable(service.executable)]),
        environment(_settings_of(service.prefix), more or {}, places),
        service_probe(settings.service_socket(service.name)),
    )


def _gate(settings: StackSettings) -> Program:
    command: list[str] = json.loads(ask_policy(settings, "envoy"))
    return Program("gate", _command(settings, "gate", command), environment(), _gate_ready(settings))


def ask_policy(settings: StackSettings, word: str) -> str:
    """What the policy service says of the gate: its `bootstrap`, `envoy` command line or `firewall` rules.

    Raises CommandFailed with its last line.
    """
    done = subprocess.run(
        [executable(POLICY.executable), word],
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


def _gate_ready(settings: StackSettings) -> Probe:
    return gate_probe(settings.run_dir / "gate" / "admin.sock")


def _command(settings: StackSettings, process: str, command: list[str]) -> list[str]:
    account = Accounts(settings.uid_base).of(process)
    return command_line(command, account, [checkout()], settings.run_dir / "sb")


def _settings_of(prefix: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(prefix + "_")}
