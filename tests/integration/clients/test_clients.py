"""`make clients`: what it makes is the same each time, is not made twice, and its READMEs say what works."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.programs import GO, JAVA, PROGRAMS, ROOT, RUST, TOOLS, TYPESCRIPT, Program
from support.stack import Stack

pytestmark = pytest.mark.timeout(600)
BUILD = ROOT / "build/clients"
GENERATED = {"go": "*.pb.go", "typescript": "*_pb.ts", "java": "*Grpc.java", "rust": "stockade.*.rs"}
LANGUAGES = [
    pytest.param(language, marks=() if language == "go" else pytest.mark.long)
    for language in PROGRAMS
    if language != "python"
]


def make(language: str) -> None:
    subprocess.run([ROOT / "scripts/clients", language], check=True)


def digests(language: str) -> dict[Path, str]:
    """What the generators wrote."""
    files = (BUILD / language).rglob(GENERATED[language])
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def skip_without_toolchain(language: str) -> None:
    if missing := PROGRAMS[language].missing():
        pytest.skip(f"no {missing} on this machine")


@pytest.mark.parametrize("language", LANGUAGES)
def test_making_it_again_changes_no_byte(language: str) -> None:
    skip_without_toolchain(language)
    make(language)
    before = digests(language)
    (BUILD / language / ".stamp").unlink()
    make(language)
    assert digests(language) == before
    assert any("sandbox" in str(path).lower() for path in before)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_up_to_date_is_left_alone(language: str) -> None:
    skip_without_toolchain(language)
    make(language)
    began = time.monotonic()
    make(language)
    assert time.monotonic() - began < 5


def test_an_unknown_language_is_named() -> None:
    done = subprocess.run([ROOT / "scripts/clients", "cobol"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "clients: no client for 'cobol': go typescript java rust or all\n"


def code_of(language: str, fence: str) -> str:
    """The program in a README."""
    readme = (ROOT / f"clients/{language}/README.md").read_text()
    found = re.search(rf"```{fence}\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    return found[1]


def beside_client(program: Program, directory: Path) -> Path:
    """A copy of the conformance client's project, whose dependencies are the README's, two levels below build/."""
    program.make()
    place = program.home.parent / directory.name
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(program.home, place, symlinks=True))


def go(place: Path) -> list[str]:
    for source in place.glob("*.go"):
        source.unlink()
    (place / "main.go").write_text(code_of("go", "go"))
    subprocess.run(["go", "build", "-o", "readme", "."], cwd=place, check=True)
    return [str(place / "readme")]


def typescript(place: Path) -> list[str]:
    (place / "src/readme.ts").write_text(code_of("typescript", "ts"))
    flags = ["--bundle", "--platform=node", "--format=esm", "--outfile=readme.mjs", "--log-level=warning"]
    subprocess.run(["npx", "tsc", "--noEmit"], cwd=place, check=True)
    subprocess.run(["npx", "esbuild", "src/readme.ts", *flags], cwd=place, check=True)
    return ["node", str(place / "readme.mjs")]


def java(place: Path) -> list[str]:
    (place / "Readme.java").write_text(code_of("java", "java"))
    return ["java", "-cp", f"{place}/target/dependency/*", str(place / "Readme.java")]


def rust(place: Path) -> list[str]:
    (place / "src/bin").mkdir()
    (place / "src/bin/readme.rs").write_text(code_of("rust", "rust"))
    environment = os.environ | RUST.environment
    subprocess.run(["cargo", "build", "-q", "--bin", "readme"], cwd=place, check=True, env=environment)
    return [str(TOOLS / "rust/target/debug/readme")]


@pytest.mark.docker
@pytest.mark.parametrize(
    ("program", "build"),
    [
        pytest.param(GO, go, id="go"),
        pytest.param(TYPESCRIPT, typescript, id="typescript", marks=pytest.mark.long),
        pytest.param(JAVA, java, id="java", marks=pytest.mark.long),
        pytest.param(RUST, rust, id="rust", marks=pytest.mark.long),
    ],
)
def test_the_readme_runs(program: Program, build: Callable[[Path], list[str]], stack: Stack) -> None:
    skip_without_toolchain(program.language)
    place = beside_client(program, Path(f"readme-{program.language}"))
    done = subprocess.run(
        build(place), check=False, capture_output=True, text=True, timeout=120, env=os.environ | stack.environment
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.upper().replace("_", "")
    assert done.stdout.startswith("hello\n")
    assert "EXITED" in words
    assert "DENY BLOCKUNKNOWNDOMAINS" in words
