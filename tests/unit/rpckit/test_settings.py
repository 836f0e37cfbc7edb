"""Settings come from the environment, typed; what is wrong ends the process with one line that names the mend."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from stockade_rpckit.settings import ServiceSettings, load


@dataclass(frozen=True, kw_only=True)
class Some(ServiceSettings):
    port: int = 1
    ratio: float = 0.5
    enabled: bool = False
    names: tuple[str, ...] = ()


def test_every_type_is_read() -> None:
    found = load(
        Some,
        "STOCKADE_SOME",
        {
            "STOCKADE_SOME_PORT": "8",
            "STOCKADE_SOME_RATIO": "0.25",
            "STOCKADE_SOME_ENABLED": "yes",
            "STOCKADE_SOME_NAMES": "a, b,",
            "STOCKADE_SOME_RUN_DIR": "/x",
            "OTHER": "ignored",
        },
    )
    assert (found.port, found.ratio, found.enabled, found.names) == (8, 0.25, True, ("a", "b"))
    assert found.run_dir == Path("/x")
    assert found.slot == Some().slot


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"STOCKADE_SOME_PRT": "8"}, "STOCKADE_SOME_PRT is not a setting"),
        ({"STOCKADE_SOME_PORT": "eight"}, "STOCKADE_SOME_PORT='eight' is not a valid"),
        ({"STOCKADE_SOME_ENABLED": "maybe"}, "want true or false"),
    ],
)
def test_a_mistake_is_one_line(environment: dict[str, str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        load(Some, "STOCKADE_SOME", environment)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.count("\n") == 1
