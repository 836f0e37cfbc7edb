"""The table of steps, with the session's words put in, and what each answer to a step is worth."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import grpc
import yaml

STEPS = Path(__file__).with_name("steps.yaml")
_WORD = re.compile(r"\$([a-z_0-9]+)")
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class Place(StrEnum):
    """Where a client takes its steps."""

    OUTSIDE = "outside"
    TLS = "tls"
    MESH = "mesh"
    INSIDE = "inside"


_ANYWHERE_OUTSIDE = (Place.OUTSIDE, Place.TLS, Place.MESH)


class Mark(StrEnum):
    """What became of a step."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SERVED = "not served"


@dataclass(frozen=True)
class Step:
    """One row: the operation and its input for the client, and what must come of it: a result or an error."""

    name: str
    do: str
    given: Mapping[str, Any]
    expect: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """A mark and, where it is not PASSED, why in one line."""

    mark: Mark
    why: str = ""


def load(words: Mapping[str, Any], place: Place) -> list[Step]:
    """The steps of a session at `place`."""
    rows = yaml.safe_load(STEPS.read_text())
    return [_step(row, words) for row in rows if place in row.get("at", _ANYWHERE_OUTSIDE)]


def judge(step: Step, answer: Mapping[str, Any] | None) -> Judgement:
    """Holds a client's answer against the table."""
    if answer is None:
        return Judgement(Mark.FAILED, "no answer")
    if "broken" in answer:
        return Judgement(Mark.FAILED, answer["broken"])
    error = answer.get("error")
    if error is not None:
        error = {**error, "code": _CODES.get(error["code"], str(error["code"]))}
        if error.get("reason") == "NOT_SERVED_YET":
            return Judgement(Mark.NOT_SERVED, error["metadata"].get("method", ""))
    wanted, got = (step.error, error) if step.error else (step.expect, answer.get("result"))
    if got is None:
        return Judgement(Mark.FAILED, f"no {'error' if step.error else 'result'}: {error or answer['result']}")
    faults = list(_differences(wanted, got))
    return Judgement(Mark.FAILED, "; ".join(faults)) if faults else Judgement(Mark.PASSED)


def _step(row: Mapping[str, Any], words: Mapping[str, Any]) -> Step:
    filled = {key: _filled(row.get(key, {}), words) for key in ("with", "expect", "error")}
    return Step(row["name"], row["do"], filled["with"], filled["expect"], filled["error"])


def _filled(value: Any, words: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    if isinstance(value, str) and value[1:] in words and value.startswith("$"):
        return words[value[1:]]
    if isinstance(value, str):
        return _WORD.sub(lambda found: str(words.get(found[1], found[0])), value)
    return value


def _differences(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    differences = []
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(got.get(key), dict):
            differences += [f"{key}.{line}" for line in _differences(value, got[key])]
        elif got.get(key) != value:
            differences.append(f"{key}: {got.get(key)!r}, not {value!r}")
    return differences
