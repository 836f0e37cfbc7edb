"""The shorter session: a client inside a sandbox, over the one socket that leads to all services as its agent."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stockade_agent import Stockade

from conformance import session, table
from conformance.programs import Program
from conformance.table import Place

HOME = "/workspace/conformance"
API = "unix:/run/stockade/api.sock"
TARGETS = dict.fromkeys(("sandbox", "policy", "cache", "audit"), API)


def run_all(programs: Sequence[Program], run_dir: Path, place: Path) -> list[session.Outcome]:
    """Each program that runs inside, in a sandbox of its own, beside a sandbox of another agent."""
    with Stockade.connect(run_dir) as stockade, stockade.sandbox("conformance-other", agent_type="default") as other:
        return [run(program, stockade, other.name, place) for program in programs if program.inside]


def run(program: Program, stockade: Stockade, other: str, place: Path) -> session.Outcome:
    """One client's session in a sandbox."""
    words = session.session_words(f"inside-{program.language}", place)
    with stockade.sandbox(str(words["agent"]), agent_type="test-generator") as sandbox:
        words |= {
            "own_sandbox": sandbox.name,
            "other_sandbox": other,
            "golden_keys": f"{HOME}/{session.GOLDEN_KEYS.name}",
        }
        steps = table.load(words, Place.INSIDE)
        with _staged(program, session.session_file(steps, TARGETS)) as directory:
            sandbox.upload(directory, HOME)
        done = sandbox.run(
            "sh", "-c", f'cd {HOME} && exec "$@"', "sh", *program.inside, "session.json", timeout=session.TIMEOUT_S
        )
    (place / f"{program.language}.inside.stderr").write_bytes(done.stderr)
    return session.outcome(f"in {program.language}", steps, done.stdout.decode())


@contextmanager
def _staged(program: Program, file: str) -> Iterator[Path]:
    """A directory of all that the program needs."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        program.stage(directory)
        (directory / "session.json").write_text(file)
        shutil.copy(session.GOLDEN_KEYS, directory)
        yield directory
