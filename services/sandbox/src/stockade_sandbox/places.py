"""Where the host keeps what belongs to a sandbox.

run_dir/sb/<name>/                   the sandbox's own directory: control, egress and api.sock; seen at /run/stockade
run_dir/sandbox/identity/<name>/     passwd, hosts, cpuinfo, …: each seen at its place in /etc and /proc
run_dir/sandbox/secrets/<name>       what proves its supervisor, where the kernel cannot
run_dir/sandbox/disks/<name>/        its quota image, mounted; seen at /workspace
run_dir/sandbox/supervisors/<name>/  its view of the supervisor's folder, seen at /opt/stockade
state_dir/sandbox/disks/<name>.img   that image
state_dir/sandbox/snapshots/         copies of such images, by their own names
state_dir/sandbox/memories/<name>/   live memory, beside the snapshot of that name
state_dir/sandbox/registry.sqlite    the registry
"""

import grp
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stockade_sandbox.supervision import SECRET_FILE, Secrets


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one service. `gate_group`: the group that Envoy runs under; it creates sockets in `sb`."""

    run_dir: Path
    state_dir: Path
    gate_group: str

    @property
    def images(self) -> Path:
        """Quota images."""
        return self.state_dir / "sandbox" / "disks"

    @property
    def snapshots(self) -> Path:
        """Copies of them."""
        return self.state_dir / "sandbox" / "snapshots"

    @property
    def memories(self) -> Path:
        """Live memories of sandboxes."""
        return self.state_dir / "sandbox" / "memories"

    @property
    def disks(self) -> Path:
        """Where they are mounted."""
        return self.run_dir / "sandbox" / "disks"

    @property
    def supervisors(self) -> Path:
        """Where views of the supervisor's folder are mounted."""
        return self.run_dir / "sandbox" / "supervisors"

    @property
    def registry(self) -> Path:
        """The registry's file."""
        return self.state_dir / "sandbox" / "registry.sqlite"

    def sockets(self, name: str) -> Path:
        """The sandbox's own directory."""
        return self.run_dir / "sb" / name

    def identity(self, name: str) -> Path:
        """Files that are seen in its /etc and /proc."""
        return self.run_dir / "sandbox" / "identity" / name

    def secrets(self, name: str) -> Secrets:
        """What proves its supervisor."""
        return Secrets(self.sockets(name) / SECRET_FILE, self.run_dir / "sandbox" / "secrets" / name)

    def prepare(self) -> None:
        """Make the directories that all sandboxes share."""
        for directory in (self.registry.parent, self.images, self.snapshots, self.run_dir / "sandbox", self.disks):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.identity("").mkdir(exist_ok=True, mode=0o700)
        (self.run_dir / "sandbox" / "secrets").mkdir(exist_ok=True, mode=0o700)
        self._make_gateway()

    def furnish(self, name: str, files: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
        """Make a sandbox's directories and files of its own; yields (host's file, path inside)."""
        self._make_sockets(name)
        directory = self.identity(name)
        directory.mkdir(exist_ok=True, mode=0o755)
        for target, content in files.items():
            source = directory / Path(target).name
            source.write_text(content)
            source.chmod(0o644)
            yield source, target

    def clear(self, name: str) -> None:
        """Remove what `furnish` made. What is not there is no error."""
        for directory in (self.sockets(name), self.identity(name)):
            shutil.rmtree(directory, ignore_errors=True)
        self.secrets(name).forget()

    def names(self) -> set[str]:
        """Sandboxes that have a directory here."""
        return {path.name for parent in (self.sockets(""), self.identity("")) for path in parent.iterdir()}

    def _make_gateway(self) -> None:
        """Whoever reaches a sandbox's sockets speaks as its agent: of the host's users only the gate passes here."""
        directory = self.sockets("")
        directory.mkdir(exist_ok=True, mode=0o700)
        os.chown(directory, 0, _group_id(self.gate_group))
        directory.chmod(0o710)

    def _make_sockets(self, name: str) -> None:
        """The agent may look in and not write; the gate, by its group, may put its sockets there."""
        directory = self.sockets(name)
        directory.mkdir(exist_ok=True)
        os.chown(directory, 0, _group_id(self.gate_group))
        directory.chmod(0o775)


def _group_id(name: str) -> int:
    """A group's id by its name or number; root's where there is no such group."""
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return 0
