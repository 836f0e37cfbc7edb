"""A socket is opened to its directory; nothing that stands in its place is."""

import os
import socket
from pathlib import Path

import pytest
from stockade_rpckit import sockets
from stockade_rpckit.identity import Principal, PrincipalKind, always
from stockade_rpckit.listeners import Listener


@pytest.fixture
def listening(tmp_path: Path) -> Path:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(0o600)
    return path


def test_whoever_enters_the_directory_may_connect(listening: Path) -> None:
    sockets.open_to_directory(listening)
    assert listening.stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("swap", [os.symlink, os.link], ids=["symbolic", "hard"])
@pytest.mark.parametrize("kind", ["file", "socket"])
def test_a_link_in_its_place_opens_nothing(tmp_path: Path, listening: Path, swap: object, kind: str) -> None:
    target = listening
    if kind == "file":
        target = tmp_path / "secret"
        target.touch(0o600)
    place = tmp_path / "b.sock"
    assert callable(swap)
    swap(target, place)
    with pytest.raises(OSError, match=r"levels of symbolic links|no socket of its own"):
        Listener(place, always(Principal(PrincipalKind.OPERATOR, "ada"))).open_to_directory()
    assert target.stat().st_mode & 0o777 == 0o600
