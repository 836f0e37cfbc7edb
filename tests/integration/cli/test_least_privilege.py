"""What a process of the stack can still do: real uids, real mount namespaces. Needs root."""

import os
import subprocess
from pathlib import Path

import pytest
from stockade_cli.stack.accounts import Account
from stockade_cli.stack.launch import command_line

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing uids needs root")

ACCOUNT = Account(1_899_777_001, 1_899_777_000, (1_899_777_000, 1_899_777_004))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone below a directory that only root may enter."""
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        parent.chmod(0o755)
    closed = tmp_path / "root"
    clone = closed / "src" / "clone"
    clone.mkdir(parents=True)
    (clone / "code").write_text("code")
    (closed / "secret").write_text("secret")
    closed.chmod(0o700)
    return clone


def run(clone: Path, stage: Path, script: str) -> subprocess.CompletedProcess[str]:
    stage.mkdir(exist_ok=True)
    line = command_line(["sh", "-c", script], ACCOUNT, [clone], stage)
    return subprocess.run(line, check=False, capture_output=True, text=True, cwd="/", timeout=20)


def test_it_runs_under_its_ids_with_no_capability(clone: Path, tmp_path: Path) -> None:
    done = run(clone, tmp_path / "stage", "id -u; id -g; id -G; grep -E 'Cap|NoNewPrivs' /proc/self/status")
    lines = done.stdout.split("\n")
    assert lines[0] == str(ACCOUNT.uid)
    assert lines[1] == str(ACCOUNT.gid)
    assert set(lines[2].split()) == {str(gid) for gid in ACCOUNT.groups}
    assert "NoNewPrivs:\t1" in lines
    capabilities = {line.split("\t")[1] for line in lines if line.startswith("Cap")}
    assert capabilities == {"0000000000000000"}


def test_it_reads_the_clone_at_its_own_path_and_nothing_beside(clone: Path, tmp_path: Path) -> None:
    done = run(clone, tmp_path / "stage", f"cat {clone}/code; ls -A {clone.parents[1]}; ls -A {clone.parent}")
    assert (done.stdout, done.stderr) == ("codesrc\nclone\n", "")


def test_the_place_it_was_built_in_is_as_before(clone: Path, tmp_path: Path) -> None:
    """The stack builds it in the directory of the sandboxes' sockets, which the gate needs."""
    (tmp_path / "stage" / "sb-one").mkdir(parents=True)
    for parent in (tmp_path / "stage", tmp_path):
        parent.chmod(0o755)
    assert run(clone, tmp_path / "stage", f"ls {tmp_path}/stage").stdout == "sb-one\n"


def test_the_host_sees_no_mount_of_it(clone: Path, tmp_path: Path) -> None:
    before = Path("/proc/self/mounts").read_text()
    assert run(clone, tmp_path / "stage", "true").returncode == 0
    assert Path("/proc/self/mounts").read_text() == before


def test_it_holds_no_loop_device_of_a_sandbox(clone: Path, tmp_path: Path) -> None:
    """Else the space of each sandbox that lived when a service started would be kept until the service ends."""
    image, volume = tmp_path / "image", tmp_path / "volume"
    volume.mkdir()
    subprocess.run(["truncate", "--size", "8M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, volume], check=True)
    try:
        assert run(clone, tmp_path / "stage", f"grep -c {volume} /proc/self/mounts").stdout == "0\n"
        assert str(volume) in Path("/proc/self/mounts").read_text()
    finally:
        subprocess.run(["umount", volume], check=True)


def test_it_ends_with_whoever_started_it(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    line = command_line(["sh", "-c", "echo $$; exec sleep 60"], ACCOUNT, [clone], tmp_path / "stage")
    parent = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True); "
        "print(p.stdout.readline(), flush=True)"
    )
    start = ["/usr/bin/python3", "-c", parent, *line]
    done = subprocess.run(start, check=True, capture_output=True, text=True, cwd="/")
    ended = subprocess.run(["timeout", "1", "tail", f"--pid={int(done.stdout)}", "-f", "/dev/null"], check=False)
    assert ended.returncode == 0 or is_zombie(int(done.stdout)), "a PID 1 that reaps nobody leaves a zombie"


def is_zombie(pid: int) -> bool:
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
