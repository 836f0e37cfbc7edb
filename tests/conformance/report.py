"""What a run of the session leaves: a table for people, and a file for programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from conformance.session import Outcome
from conformance.table import Mark

_WORDS = {Mark.PASSED: "ok", Mark.FAILED: "FAILED", Mark.NOT_SERVED: "not served"}


def table(outcomes: Sequence[Outcome]) -> str:
    """Steps by languages, and a line for each step that did not pass."""
    if not outcomes:
        return "no client ran"
    steps = list(dict.fromkeys(name for outcome in outcomes for name in outcome.judgements))
    width = max(map(len, steps))
    columns = [max(len(outcome.language), 10) for outcome in outcomes]
    lines = [" " * width + "".join(f"  {o.language:<{c}}" for o, c in zip(outcomes, columns, strict=True))]
    for step in steps:
        marks = (_WORDS[o.judgements[step].mark] if step in o.judgements else "-" for o in outcomes)
        lines.append(f"{step:<{width}}" + "".join(f"  {m:<{c}}" for m, c in zip(marks, columns, strict=True)))
    return "\n".join([*lines, *_reasons(outcomes)])


def as_json(outcomes: Sequence[Outcome], absent: Mapping[str, str], seconds: float) -> str:
    """Every answer beside its mark."""
    return json.dumps(
        {
            "seconds": round(seconds, 1),
            "absent": absent,
            "languages": {
                outcome.language: {
                    name: {"mark": judgement.mark, "why": judgement.why, "answer": outcome.answers.get(name)}
                    for name, judgement in outcome.judgements.items()
                }
                for outcome in outcomes
            },
        },
        indent=1,
    )


def write(path: Path, outcomes: Sequence[Outcome], absent: Mapping[str, str], seconds: float) -> None:
    """The run's result file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_json(outcomes, absent, seconds) + "\n")


def failed(outcomes: Sequence[Outcome]) -> bool:
    """Whether any step of any client failed."""
    return any(judgement.mark is Mark.FAILED for o in outcomes for judgement in o.judgements.values())


def _reasons(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{outcome.language}: {name}: {_WORDS[judgement.mark]}: {judgement.why}"
        for outcome in outcomes
        for name, judgement in outcome.judgements.items()
        if judgement.mark is not Mark.PASSED
    ]
