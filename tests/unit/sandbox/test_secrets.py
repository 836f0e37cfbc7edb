"""What proves a supervisor: good for one time, known again after a restart, and read by nobody else."""

from pathlib import Path

import pytest
from stockade_sandbox.supervision import Secrets


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "told", tmp_path / "kept")


def issued(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("os.chown", lambda *_: None)  # to the sandbox's uid, for which this test has no right
    secrets.issue(1000)
    return secrets.good[0]


def test_what_is_read_is_gone_once_it_has_proved(
    secrets: Secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = issued(secrets, monkeypatch)
    assert (tmp_path / "told").read_text() == first
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o400}
    assert secrets.proves(first)
    assert not (tmp_path / "told").exists()


@pytest.mark.parametrize("said", ["", "0" * 64, None, 7, ["x"], {"secret": "x"}])
def test_nothing_else_proves(secrets: Secrets, said: object, monkeypatch: pytest.MonkeyPatch) -> None:
    issued(secrets, monkeypatch)
    assert not secrets.proves(said)


def test_each_is_good_for_one_time(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    first = issued(secrets, monkeypatch)
    assert secrets.proves(first)
    second = secrets.renew()
    assert secrets.good == [first, second]  # the new one may be lost on its way
    secrets.confirm()
    assert not secrets.proves(first)
    assert secrets.proves(second)


def test_a_lost_new_one_leaves_the_old_one_good(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    first = issued(secrets, monkeypatch)
    assert secrets.proves(first)
    lost = secrets.renew()
    assert secrets.proves(first)
    assert not secrets.proves(lost)


def test_a_restarted_service_knows_them_and_an_ended_sandbox_has_none(tmp_path: Path) -> None:
    Secrets(tmp_path / "told", tmp_path / "kept").inherit(["known"])
    again = Secrets(tmp_path / "told", tmp_path / "kept")
    assert again.proves("known")
    again.forget()
    assert again.good == []
    assert not again.proves("known")
