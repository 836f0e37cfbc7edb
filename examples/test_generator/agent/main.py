"""A test generator: reads a Python module, and writes tests for each function that is not another one again.

It is an agent like any other: it runs in a sandbox, takes its vectors from the embedding cache, reaches the network
through the gate only, and reports what it did to the address in REPORT_URL.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "site"))
os.environ["PYTHONPATH"] = str(HERE / "site")  # for the pytest that it starts

import outside  # noqa: E402
from duplicates import near_duplicates  # noqa: E402
from embedding import Embedded, embed  # noqa: E402
from functions import read_functions  # noqa: E402
from observation import observe  # noqa: E402
from stockade_agent.source import Function  # noqa: E402
from test_file import run_tests, unnoticed, write_tests  # noqa: E402


def main() -> int:
    """Do all of it and say so; 0 when every test passes and the report was taken."""
    arguments = _arguments()
    functions = read_functions(arguments.module)
    say("read", f"{arguments.module}: {len(functions)} functions")
    embedded = embed([function.source for function in functions])
    say("embed", _where_from(embedded))
    report = generate(arguments.module, functions, embedded, arguments.out)
    reported = send(report)
    look_outside()
    return 0 if reported and not report["failed"] and report["passed"] else 1


def generate(module: str, functions: list[Function], embedded: Embedded, out: Path) -> dict[str, Any]:
    """Write and run the tests of what is worth testing."""
    repeats = near_duplicates([function.name for function in functions], embedded.vectors)
    for name, original in repeats.items():
        say("skip", f"{name} repeats {original}")
    chosen = [function.name for function in functions if function.public and function.name not in repeats]
    seen = [observation for name in chosen for observation in observe(module, name)]
    path = out / f"test_{module.replace('.', '_')}.py"
    written = write_tests(module, seen, path)
    tested = sorted({observation.function for observation in seen})
    say("write", f"{path}: {written} tests of {len(tested)} functions")
    run = run_tests(path)
    say("pytest", f"{run.passed} passed, {run.failed} failed")
    missed = unnoticed(module, tested, path)
    say("proof", f"broken on purpose, {len(tested) - len(missed)} of {len(tested)} functions are noticed")
    return {
        "module": module,
        "functions": len(functions),
        "near_duplicates": repeats,
        "tested": tested,
        "unnoticed": missed,
        "tests": written,
        "passed": run.passed,
        "failed": run.failed,
        "cache_hits": embedded.counts.hits,
        "computed": embedded.counts.computed,
        "embedding_ms": round(embedded.seconds * 1000, 1),
    }


def send(report: dict[str, Any]) -> bool:
    """Post the report where REPORT_URL says; without one, nothing is sent."""
    url = os.environ.get("REPORT_URL", "")
    if not url:
        say("report", "kept here: REPORT_URL is not set")
        return True
    status = outside.post(url, report)
    say("report", f"POST {url} -> {status}")
    return 200 <= status < 300


def look_outside() -> None:
    """Try what must not work, and say what came of it."""
    refused = outside.refusal()
    say("refused", f"{outside.REFUSED_URL} -> {refused['status']} {refused['reason']} (rule {refused['rule'] or '-'})")
    for address, port in (("1.1.1.1", 443), ("169.254.169.254", 80)):
        say("socket", f"{address}:{port} -> {outside.raw_socket(address, port)}")


def say(step: str, line: str) -> None:
    """One line of the story."""
    print(f"  {step:<8} {line}", flush=True)


def _where_from(embedded: Embedded) -> str:
    counts = embedded.counts
    warmth = "warm" if not counts.computed else "cold" if not counts.hits else "partly warm"
    return (
        f"{len(embedded.vectors)} vectors in {embedded.seconds * 1000:.0f} ms, {warmth}: "
        f"{counts.hits} from the cache, {counts.computed} computed"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--module", default="textwrap", help="the module to write tests for (default: textwrap)")
    parser.add_argument("--out", type=Path, default=Path.cwd(), help="where to write them (default: here)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
