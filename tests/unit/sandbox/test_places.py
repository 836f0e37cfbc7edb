"""Who on the host reaches a sandbox's sockets: whoever does speaks as its agent."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stockade_cli.settings import StackSettings
from stockade_cli.stack.directories import directories
from stockade_sandbox.places import Places

GATE, NOBODY = 1_900_000_004, 65534


@pytest.fixture
def api_socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stk-") as root, socket.socket(socket.AF_UNIX) as listener:
        Path(root).chmod(0o755)
        places = Places(Path(root) / "run", Path(root) / "state", str(GATE))
        (Path(root) / "run").mkdir(mode=0o755)
        places.prepare()
        list(places.furnish("sb-a", {}))
        path = places.sockets("sb-a") / "api.sock"
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()
        yield path


def connects(path: Path, uid: int, gid: int) -> bool:
    """Whether a process of that user and group may connect."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            socket.socket(socket.AF_UNIX).connect(str(path))
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming others needs root")
@pytest.mark.parametrize(("uid", "gid", "may"), [(NOBODY, NOBODY, False), (GATE, GATE, True)], ids=["others", "gate"])
def test_of_the_hosts_users_only_the_gate_reaches_it(api_socket: Path, uid: int, gid: int, may: bool) -> None:
    assert connects(api_socket, uid, gid) is may


def test_a_stack_makes_the_way_there_as_the_service_does() -> None:
    settings = StackSettings()
    (found,) = [directory for directory in directories(settings) if directory.path == settings.run_dir / "sb"]
    assert (found.mode, found.uid, found.gid) == (0o710, 0, settings.uid_base + 4)
