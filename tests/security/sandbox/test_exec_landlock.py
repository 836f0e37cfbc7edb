"""Landlock: what an exec's domain denies, in the sandbox and by itself."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from stockade_sandbox.domain.ending import Stop
from stockade_sandbox.domain.execution import Command
from stockade_sandbox.supervisor import kernel, mounts
from stockade_sandbox.supervisor.restriction import Restriction

from support.supervised import PYTHON, Sandbox, supervised

needs_landlock = pytest.mark.skipif(kernel.landlock_version() < 2, reason="this kernel has no Landlock of ABI 2")
in_sandbox = [pytest.mark.docker, pytest.mark.usefixtures("engine"), pytest.mark.asyncio(loop_scope="module")]
MOUNTS = """\
overlay / overlay ro,relatime,lowerdir=/a 0 0
proc /proc proc rw,nosuid 0 0
tmpfs /dev tmpfs rw,nosuid,size=65536k 0 0
tmpfs /with\\040blank tmpfs rw 0 0
/dev/loop0 /workspace ext4 rw,nosuid,nodev 0 0
/dev/vda /etc/passwd ext4 ro,relatime 0 0
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(engine: object) -> AsyncIterator[Sandbox]:
    async with supervised() as running:
        yield running


def confined(place: Path, deed: Callable[[], object]) -> str:
    """What a process gets that may write to `place` only: "done", or the error's name."""
    reader, writer = os.pipe()
    restriction = Restriction([str(place)])
    child = os.fork()
    if child == 0:
        try:
            kernel.renounce_privileges()
            kernel.landlock_restrict(restriction.ruleset)
            deed()
            os.write(writer, b"done")
        except OSError as error:
            os.write(writer, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.close(restriction.ruleset)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as answer:
        return answer.read().decode()


@needs_landlock
def test_a_domain_writes_only_where_it_may() -> None:
    with tempfile.TemporaryDirectory() as inside, tempfile.TemporaryDirectory() as outside:
        place, other = Path(inside), Path(outside)
        (other / "there").write_text("x")
        (place / "sub").mkdir()
        deeds: dict[str, tuple[Callable[[], object], str]] = {
            "write inside": (lambda: (place / "f").write_text("x"), "done"),
            "move between directories inside": (lambda: (place / "f").rename(place / "sub" / "f"), "done"),
            "write outside": (lambda: (other / "f").write_text("x"), "PermissionError"),
            "change outside": (lambda: (other / "there").write_text("y"), "PermissionError"),
            "remove outside": (lambda: (other / "there").unlink(), "PermissionError"),
            "make a directory outside": (lambda: (other / "d").mkdir(), "PermissionError"),
            "read outside": (lambda: (other / "there").read_text(), "done"),
            "make a device inside": (lambda: os.mknod(place / "null", 0o20666, os.makedev(1, 3)), "PermissionError"),
            "write to /dev/null": (lambda: Path("/dev/null").write_text("x"), "done"),
            "write below /proc/self": (lambda: Path("/proc/self/comm").write_text("x"), "done"),
        }
        assert {name: confined(place, deed) for name, (deed, _) in deeds.items()} == {
            name: expected for name, (_, expected) in deeds.items()
        }


def test_the_writable_mounts(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert mounts.writable(str(tmp_path / "mounts")) == ["/dev", "/with blank", "/workspace"]


@needs_landlock
class TestInTheSandbox:
    pytestmark = in_sandbox

    async def test_programs_work_where_they_may(self, sandbox: Sandbox) -> None:
        result = await sandbox.run(
            "sh",
            "-c",
            "set -e; cd /workspace; mkdir -p a b; echo x > a/f; mv a/f b/g; ln -s b/g l; cat l; rm -r a b l;"
            "echo y > /dev/null; echo z > /dev/shm/z; rm /dev/shm/z; mkfifo p; rm p; echo fine",
        )
        assert (result.stdout, result.stderr) == (b"x\nfine\n", b"")

    async def test_one_exec_does_not_read_another(self, sandbox: Sandbox) -> None:
        secret = await sandbox.supervision.start(sandbox.name, Command(args=("sleep", "60"), env={"SECRET": "word"}))
        peek = f"open('/proc/{secret.pid}/environ').read()"
        result = await sandbox.run(*PYTHON, "-c", peek)
        assert b"PermissionError" in result.stderr
        secret.stop(Stop.CANCELLED)
        await asyncio.wait_for(secret.ended(), 2)

    async def test_one_exec_may_end_another(self, sandbox: Sandbox) -> None:
        server = await sandbox.supervision.start(sandbox.name, Command(args=("sleep", "60")))
        await sandbox.run("kill", str(server.pid))
        assert (await asyncio.wait_for(server.ended(), 2)).signal == 15
