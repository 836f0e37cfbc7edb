"""The clients: one program per language, built from tests/conformance/clients on what `make clients` makes."""

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).with_name("clients")
BUILD = ROOT / "build/conformance"
TOOLS = ROOT / ".tools/clients"


@dataclass(frozen=True)
class Program:
    """How a language's client is built, in its own copy of the source, and run, with the session's file at the end."""

    language: str
    run: Sequence[str]
    toolchain: str = ""
    build: Sequence[Sequence[str]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    inside: Sequence[str] = ()
    """How it is run in a sandbox, in the directory that it was put into; empty where it is not."""
    sources: Path = SOURCES
    """Where each language has a directory of its own."""
    place: Path = BUILD
    """Where it is built. The client packages are reached from there as ../../clients."""

    @property
    def home(self) -> Path:
        return self.place / self.language

    def missing(self) -> str:
        """The toolchain that this machine lacks; empty when it has it."""
        return self.toolchain if self.toolchain and shutil.which(self.toolchain) is None else ""

    def make(self) -> None:
        """Make the client package and the program on it, where they are not what their sources say.

        Raises subprocess.CalledProcessError.
        """
        if not self.build:
            return
        subprocess.run([ROOT / "scripts/clients", self.language], check=True)
        stamp, digest = self.home / ".stamp", self._digest()
        if stamp.exists() and stamp.read_text() == digest:
            return
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.sources / self.language, self.home)
        for command in self.build:
            subprocess.run(
                command, cwd=self.home, check=True, env=os.environ | self.environment, stdout=sys.stderr.fileno()
            )
        stamp.write_text(digest)

    def command(self) -> list[str]:
        """The words that start it."""
        return [word.format(home=self.home, sources=self.sources / self.language) for word in self.run]

    def stage(self, directory: Path) -> None:
        """Put what runs inside a sandbox into `directory`."""
        if self.build:
            name = Path(self.inside[-1]).name
            shutil.copy2(self.home / name, directory / name)
            return
        shutil.copytree(self.sources / self.language, directory, dirs_exist_ok=True)
        for package in ("grpc", "grpc_status", "google", "stockade", "buf"):
            for place in importlib.import_module(package).__path__:
                shutil.copytree(place, directory / "packages" / package, dirs_exist_ok=True)
        shutil.copy2(importlib.import_module("typing_extensions").__file__ or "", directory / "packages")

    def _digest(self) -> str:
        files = [path for path in (self.sources / self.language).rglob("*") if path.is_file()]
        files += [ROOT / "build/clients" / self.language / ".stamp", Path(__file__)]
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(files))).hexdigest()


PYTHON = Program(
    "python",
    [sys.executable, "{sources}/client.py"],
    inside=["env", "PYTHONPATH=packages", "python3", "client.py"],
)
GO = Program(
    "go",
    ["{home}/client"],
    toolchain="go",
    build=[["go", "build", "-trimpath", "-ldflags=-s -w", "-o", "client", "."]],
    environment={"CGO_ENABLED": "0"},
    inside=["./client"],
)
TYPESCRIPT = Program(
    "typescript",
    ["node", "{home}/client.mjs"],
    toolchain="npm",
    build=[
        ["npm", "install", "--no-progress", "--no-package-lock", "--loglevel=error"],
        ["npm", "run", "--silent", "build"],
    ],
    inside=["node", "client.mjs"],
)
JAVA = Program(
    "java",
    [
        "java",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        "{home}/target/*:{home}/target/dependency/*",
        "dev.stockade.conformance.Client",
    ],
    toolchain="mvn",
    build=[["mvn", "-q", "-B", "package"]],
)
RUST = Program(
    "rust",
    ["{home}/client"],
    toolchain="cargo",
    build=[
        ["cargo", "rustc", "-q", "--", "-C", "target-feature=+crt-static"],
        ["cp", f"{TOOLS}/rust/target/debug/stockade-conformance", "client"],
    ],
    environment={
        "CARGO_TARGET_DIR": f"{TOOLS}/rust/target",
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "CARGO_PROFILE_DEV_STRIP": "symbols",
    },
    inside=["./client"],
)
PROGRAMS = {program.language: program for program in (PYTHON, GO, TYPESCRIPT, JAVA, RUST)}
