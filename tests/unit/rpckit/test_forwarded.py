"""x-forwarded-client-cert, read to its last element, and refused where it is not well formed."""

import pytest
from stockade_rpckit.forwarded import last_element


@pytest.mark.parametrize(
    ("header", "element"),
    [
        pytest.param("By=a;URI=b", {"by": ["a"], "uri": ["b"]}, id="one element"),
        pytest.param("By=a;URI=b,By=c;URI=d", {"by": ["c"], "uri": ["d"]}, id="the last of two"),
        pytest.param("By=a, By=c; URI=d", {"by": ["c"], "uri": ["d"]}, id="blanks between"),
        pytest.param('Subject="CN=x,O=y;z";URI=d', {"subject": ["CN=x,O=y;z"], "uri": ["d"]}, id="delimiters quoted"),
        pytest.param(r'Subject="a\",URI=\"b\\";URI=d', {"subject": [r'a",URI="b' + "\\"], "uri": ["d"]}, id="escapes"),
        pytest.param("URI=a;uri=b;URI=c", {"uri": ["a", "b", "c"]}, id="a key thrice, in either case"),
        pytest.param("By=;URI=", {"by": [""], "uri": [""]}, id="empty values"),
        pytest.param("URI=spiffe://x/y?a=b", {"uri": ["spiffe://x/y?a=b"]}, id="an equals sign in a value"),
    ],
)
def test_what_it_says(header: str, element: dict[str, list[str]]) -> None:
    assert last_element(header) == element


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        "By",
        "By=a;",
        "By=a,",
        "By=a;;URI=b",
        '="a"',
        'By="a',
        'By="a"b',
        'By=a"b"',
        'By="a\\"',
        "By=a,=b",
        "Ürl=a",
    ],
)
def test_what_is_no_such_header(header: str) -> None:
    with pytest.raises(ValueError, match="malformed at byte"):
        last_element(header)


def test_a_long_one_is_read_in_one_pass() -> None:
    """The same length in quotes, escapes and elements; what looked back would take minutes."""
    for piece in ('Subject="' + "\\a" * 50 + '",', "A=b,", "A=b;"):
        header = piece * (200_000 // len(piece)) + "URI=x"
        assert last_element(header)["uri"] == ["x"]
    with pytest.raises(ValueError, match="malformed"):
        last_element('A="' + "\\" * 200_001)
