"""The units: systemd takes them, and what they start, wait for and set exists in the code."""

import re
import shlex
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from stockade_audit.daemon.settings import AuditSettings
from stockade_cli.__main__ import cli
from stockade_cli.settings import StackSettings
from stockade_cli.stack.record import Lock
from stockade_embedding_cache.settings import CacheSettings
from stockade_network_policy.gate.settings import GateSettings
from stockade_network_policy.settings import PolicySettings
from stockade_rpckit.settings import load
from stockade_sandbox.settings import Settings

ROOT = Path(__file__).parents[3]
PLACE = "/opt/stockade"  # where docs/deployment.md has the clone
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
SETTINGS = {
    "STOCKADE_STACK": StackSettings,
    "STOCKADE_AUDIT": AuditSettings,
    "STOCKADE_POLICY": PolicySettings,
    "STOCKADE_CACHE": CacheSettings,
    "STOCKADE_SANDBOX": Settings,
    "STOCKADE_GATE": GateSettings,
}
unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def value(name: str, key: str) -> str:
    [found] = values(ROOT / "deploy/systemd" / name, key)
    return found


def test_systemd_takes_them(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PLACE, str(ROOT)))
    copies = sorted(tmp_path.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *copies], check=False, capture_output=True, text=True, timeout=60
    )
    assert [line for line in done.stderr.splitlines() if "stockade" in line] == []
    assert done.returncode == 0


@unit
def test_what_is_started_is_in_the_repository(unit: Path) -> None:
    for line in values(unit, "ExecStart"):
        program = shlex.split(line)[0]
        assert program.startswith(PLACE)
        assert (ROOT / Path(program).relative_to(PLACE)).exists()


@unit
def test_commands_parse(unit: Path) -> None:
    for line in values(unit, "ExecStart"):
        program, *words = shlex.split(line)
        if program.endswith("/stockade"):
            with cli.make_context("stockade", words) as context:
                name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
                assert command is not None
                command.make_context(name, rest, parent=context)


def test_the_stack_is_known_by_the_lock_of_its_supervisor(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    lock.acquire()
    assert [path.name for path in tmp_path.iterdir()] == [Path(value("stockade.service", "PIDFile")).name]
    assert f"--run-dir {Path(value('stockade.service', 'PIDFile')).parent} " in value("stockade.service", "ExecStart")


def test_the_engine_is_known_by_its_pid_file() -> None:
    script = (ROOT / "deploy/host/engine").read_text()
    directory, name = value("stockade-engine.service", "PIDFile").rsplit("/", 1)
    assert f"run_dir=${{STOCKADE_ENGINE_RUN_DIR:-{directory}}}" in script
    assert f"pidfile=$run_dir/{name}" in script


@unit
def test_no_unit_hides_the_sandboxes_mounts_from_the_engine(unit: Path) -> None:
    """A mount namespace of its own would; only the reader of metrics, which mounts nothing, may have one."""
    private = ("ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts", "ReadWritePaths")
    assert not [key for key in private if values(unit, key)] or unit.stem == "stockade-metrics"


def test_settings_of_the_example_are_settings() -> None:
    text = (ROOT / "deploy/systemd/stockade.env").read_text()
    named = dict(re.findall(r"^#(STOCKADE_\w+)=(.*)$", text, re.MULTILINE))
    assert named
    known = {f"{prefix}_{field.name.upper()}" for prefix, cls in SETTINGS.items() for field in fields(cls)}
    assert named.keys() <= known
    for prefix, cls in SETTINGS.items():
        load(cls, prefix, named)
