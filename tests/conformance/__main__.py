"""`make conformance`: builds the clients, starts a stack, runs the session in each language and compares.

Usage: python -m conformance [LANGUAGE...]      all five without an argument
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from conformance import inside, report, session
from conformance.programs import BUILD, PROGRAMS, Program
from support.stack import Stack, running_stack


def main(languages: Sequence[str]) -> int:
    began = time.monotonic()
    unknown = [language for language in languages if language not in PROGRAMS]
    if unknown:
        print(f"conformance: no client for {', '.join(unknown)}: {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    asked = [PROGRAMS[language] for language in languages or PROGRAMS]
    absent = {program.language: f"skipped: no {missing}" for program in asked if (missing := program.missing())}
    present = [program for program in asked if program.language not in absent]
    broken = {program.language: fault for program in present if (fault := build(program))}
    outcomes = run_all([program for program in present if program.language not in broken])
    result = BUILD / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    report.write(result, outcomes, absent | broken, time.monotonic() - began)
    print(report.table(outcomes))
    for language, why in (absent | broken).items():
        print(f"{language}: {why}")
    print(f"conformance: {time.monotonic() - began:.0f} s; {result}")
    return int(bool(broken) or report.failed(outcomes))


def build(program: Program) -> str:
    """Makes a client; answers what went wrong, empty when nothing did."""
    try:
        program.make()
    except subprocess.CalledProcessError as error:
        return f"did not build: {error}"
    return ""


def run_all(programs: Sequence[Program]) -> list[session.Outcome]:
    """Every client against one stack: over local sockets, over mutual TLS, and in a sandbox where it can run there."""
    place = BUILD / "session"
    place.mkdir(parents=True, exist_ok=True)
    with running_stack() as stack:
        operator = operator_of(stack)
        outside = [session.over_sockets(program, operator, place) for program in programs]
        over_tls = [session.over_tls(program, operator, place) for program in programs]
        return outside + over_tls + inside.run_all(programs, stack.run_dir, place)


def operator_of(stack: Stack) -> Path:
    """The directory of the operator's sockets."""
    return next(Path(stack.run_dir, "operators").iterdir())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
