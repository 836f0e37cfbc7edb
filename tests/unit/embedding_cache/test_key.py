"""The key specification: golden vectors, injectivity, and what is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_agent.key import EmbeddingModel

GOLDEN = json.loads((Path(__file__).parents[3] / "protos/stockade/embeddingcache/v1/golden_keys.json").read_text())
MODEL: dict[str, Any] = {"provider": "local", "model": "wordllama", "revision": "0.4.0", "dimensions": 256}


@pytest.mark.parametrize("case", GOLDEN["keys"], ids=lambda case: case["case"])
def test_golden(case: dict[str, Any]) -> None:
    assert EmbeddingModel(**case["model"]).key(case["text"]).hex() == case["key"]


def test_golden_keys_differ() -> None:
    keys = [case["key"] for case in GOLDEN["keys"]]
    assert len(set(keys)) == len(keys)


def test_the_page_says_how_a_key_is_computed() -> None:
    fields = [GOLDEN["spec"], "local", "wordllama", "0.4.0", "256", "f32", "", "0", "", "hello"]
    spelled = b"".join(len(text.encode()).to_bytes(8, "big") + text.encode() for text in fields)
    assert EmbeddingModel(**MODEL).key("hello") == hashlib.sha256(spelled).digest()


words = st.text(alphabet=st.characters(codec="utf-8"), max_size=6)
models = st.builds(
    EmbeddingModel,
    provider=words,
    model=words,
    revision=words,
    dimensions=st.integers(1, 20),
    dtype=st.sampled_from(["f32", "f16", "int8"]),
    role=st.sampled_from(["", "query", "document"]),
    normalise=st.booleans(),
    parameters=st.dictionaries(words, words, max_size=3),
)


@given(models, words, models, words)
def test_injective(one: EmbeddingModel, text: str, other: EmbeddingModel, other_text: str) -> None:
    assert (one.key(text) == other.key(other_text)) == ((one, text) == (other, other_text))


@pytest.mark.parametrize(
    ("wrong", "mend"),
    [
        ({"dtype": "f64"}, "choose one of f32, f16, int8"),
        ({"role": "passage"}, "choose query, document or none"),
        ({"dimensions": 0}, "at least 1"),
    ],
)
def test_a_model_that_cannot_be_is_refused(wrong: dict[str, Any], mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        EmbeddingModel(**{**MODEL, **wrong})


def test_a_lone_surrogate_has_no_key() -> None:
    with pytest.raises(UnicodeEncodeError):
        EmbeddingModel(**MODEL).key("\ud800")
