"""The command line that drops rights; that it does so is tested with root in tests/integration/cli."""

from pathlib import Path

from stockade_cli.stack.accounts import Account, Accounts
from stockade_cli.stack.launch import closed_ancestor, command_line


def test_the_topmost_closed_directory_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    inner = tmp_path / "home" / "clone" / "src"
    inner.mkdir(parents=True)
    assert closed_ancestor([inner]) == closed_ancestor([tmp_path])  # whatever lies above the test's own directory
    tmp_path.joinpath("home").chmod(0o700)
    tmp_path.joinpath("home/clone").chmod(0o700)
    assert closed_ancestor([inner]) in {closed_ancestor([tmp_path]), tmp_path / "home"}


def test_an_open_directory_needs_no_namespace() -> None:
    line = command_line(["prog"], Account(7, 8, (8, 9)), [Path("/usr/bin")], Path("/unused"))
    assert line[0] == "setpriv"
    assert {"--reuid=7", "--regid=8", "8,9", "--no-new-privs", "--bounding-set=-all"} <= set(line)
    assert line[-1] == "prog"


def test_without_an_account_nothing_changes_but_the_end() -> None:
    line = command_line(["prog"], None, [Path("/root")], Path("/unused"))
    assert line == ["setpriv", "--pdeathsig", "TERM", "--", "prog"]


def test_the_gate_shares_no_group_with_the_services() -> None:
    accounts = Accounts(1_000_000)
    gate = accounts.of("gate")
    assert gate is not None
    assert gate.groups == ()
    for name in ("audit", "policy", "cache"):
        service = accounts.of(name)
        assert service is not None
        assert gate.gid != service.gid
        assert gate.uid != service.uid
        assert accounts.gate_gid in service.groups, "services enter the gate's directory, never the other way round"


def test_only_the_sandbox_service_stays_root() -> None:
    accounts = Accounts(1_000_000)
    assert [name for name in ("audit", "policy", "cache", "gate", "sandbox") if accounts.of(name) is None] == [
        "sandbox"
    ]
