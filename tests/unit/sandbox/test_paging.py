"""Pages of a list that changes between two of them."""

import base64

import pytest
from stockade_sandbox.domain.errors import PageTokenInvalid
from stockade_sandbox.handlers.paging import page


def pages(items: list[str], size: int) -> list[list[str]]:
    found, token = [], ""
    while True:
        chosen, token = page(items, str, "list", size, token)
        found.append(chosen)
        if not token:
            return found


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, [["a"], ["b"], ["c"]]), (2, [["a", "b"], ["c"]]), (3, [["a", "b", "c"]]), (0, [["a", "b", "c"]])],
)
def test_each_item_comes_once(size: int, expected: list[list[str]]) -> None:
    assert pages(["a", "b", "c"], size) == expected


def test_an_empty_list_is_one_empty_page() -> None:
    assert pages([], 5) == [[]]


def test_what_goes_meanwhile_hides_nothing() -> None:
    _, token = page(["a", "b", "c"], str, "list", 2, "")
    assert page(["a", "c"], str, "list", 2, token) == (["c"], "")


@pytest.mark.parametrize("token", ["x", "!!", base64.urlsafe_b64encode(b"other|b").decode(), "\u00e4"])
def test_a_strangers_token_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        page(["a", "b"], str, "list", 1, token)
