"""One canonical form for each host, and none for what two parsers could read differently."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_network_policy.domain.hostname import (
    DomainSet,
    HostInvalid,
    PatternInvalid,
    canonical_host,
    canonical_pattern,
    is_public_name,
)

CANONICAL = {
    "plain": ("api.example.com", "api.example.com"),
    "upper case": ("API.Example.COM", "api.example.com"),
    "one trailing dot": ("example.com.", "example.com"),
    "umlaut": ("münchen.de", "xn--mnchen-3ya.de"),
    "its punycode": ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
    "upper-case punycode": ("XN--MNCHEN-3YA.de", "xn--mnchen-3ya.de"),
    "sharp s is a letter of its own": ("faß.de", "xn--fa-hia.de"),
    "full-width letters": ("ｅxample.com", "example.com"),
    "ideographic full stop": ("example。com", "example.com"),
    "hyphens third and fourth": ("r3---sn-x.googlevideo.com", "r3---sn-x.googlevideo.com"),
    "digits left of a name": ("1.2.3.example.com", "1.2.3.example.com"),
    "single label": ("intranet", "intranet"),
    "IPv4": ("93.184.216.34", "93.184.216.34"),
    "IPv6": ("2606:4700::1111", "2606:4700::1111"),
    "IPv6 in brackets, written out": ("[2606:4700:0:0:0:0:0:1111]", "2606:4700::1111"),
}


@pytest.mark.parametrize(("typed", "expected"), CANONICAL.values(), ids=CANONICAL)
def test_a_host_has_one_canonical_form(typed: str, expected: str) -> None:
    assert canonical_host(typed).name == expected


NO_FORM = {
    "empty": "",
    "only a dot": ".",
    "two trailing dots": "example.com..",
    "leading dot": ".example.com",
    "empty label": "a..example.com",
    "space": "exa mple.com",
    "null byte": "example.com\x00.evil.com",
    "userinfo": "example.com@evil.com",
    "fragment": "example.com#.evil.com",
    "backslash": "example.com\\.evil.com",
    "percent escape": "ex%61mple.com",
    "underscore": "a_b.example.com",
    "leading hyphen": "-a.example.com",
    "label of 64": "a" * 64 + ".com",
    "name of 254": ".".join(["a" * 63] * 4)[:250] + ".com",
    "typed for ever": "a." * 2000 + "com",
    "broken punycode": "xn--a.com",
    "punycode of what needs none": "xn--example-.com",
    "symbol that maps to a slash": "℀.com",
    "octal": "012.0.0.1",
    "hexadecimal": "0x7f.0.0.1",
    "hexadecimal in upper case": "0X7F.0.0.1",
    "one hexadecimal number": "0x7f000001",
    "bare 0x": "0x",
    "one decimal number": "2130706433",
    "two parts": "127.1",
    "three parts": "127.0.1",
    "five parts": "127.0.0.1.1",
    "part above 255": "256.1.1.1",
    "trailing dot": "127.0.0.1.",
    "full-width digits": "１２７.0.0.1",
    "full-width dots": "127．0．0．1",
    "ideographic stops": "127。0。0。1",
    "Arabic-Indic digits": "١٢٧.٠.٠.١",
    "circled digits": "①②⑦.0.0.1",
    "superscript": "127.0.0.¹",
    "mathematical digits": "𝟏𝟐𝟕.0.0.1",
    "last label a number": "example.1",
    "last label hexadecimal": "example.0x1f",
    "zone id": "fe80::1%eth0",
    "escaped zone id": "[fe80::1%25eth0]",
    "host and port": "example.com:443",
    "open bracket": "[::1",
}


@pytest.mark.parametrize("typed", NO_FORM.values(), ids=NO_FORM)
def test_what_parsers_could_read_differently_has_no_form(typed: str) -> None:
    with pytest.raises(HostInvalid) as refusal:
        canonical_host(typed)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 512


@given(st.text(max_size=80))
def test_a_canonical_form_is_its_own(typed: str) -> None:
    try:
        name = canonical_host(typed).name
    except HostInvalid:
        return
    assert canonical_host(name).name == name
    assert name.isascii()
    assert name == name.lower()


NUMBERS = st.sampled_from([str, hex, oct, lambda n: f"0{n:o}", lambda n: f"0x{n:X}", lambda n: f"{n:04d}"])


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), NUMBERS), min_size=1, max_size=5))
def test_a_numeric_host_is_canonical_or_refused(parts: list[tuple[int, object]]) -> None:
    typed = ".".join(write(number) for number, write in parts)  # type: ignore[operator]
    try:
        host = canonical_host(typed)
    except HostInvalid:
        return
    assert host.address is None or str(host.address) == typed
    assert host.address is not None or not set(typed) <= set(string.hexdigits + "x.")


PATTERNS = {
    "host": ("Example.COM.", "example.com"),
    "wildcard": ("*.NPMjs.org", "*.npmjs.org"),
    "wildcard below a registered name": ("*.example.co.uk", "*.example.co.uk"),
    "international wildcard": ("*.münchen.de", "*.xn--mnchen-3ya.de"),
    "a site that is a private suffix": ("s3.amazonaws.com", "s3.amazonaws.com"),
    "spaces around": ("  example.com ", "example.com"),
    "a name under an unlisted suffix": ("origin.test", "origin.test"),
}


@pytest.mark.parametrize(("written", "expected"), PATTERNS.values(), ids=PATTERNS)
def test_a_pattern_has_one_canonical_form(written: str, expected: str) -> None:
    assert canonical_pattern(written) == expected


NO_PATTERN = {
    "everything": ("*", "block_unknown_domains: false"),
    "a top-level domain": ("*.com", "*.example.com"),
    "a public suffix": ("*.co.uk", "*.example.co.uk"),
    "a private suffix": ("*.github.io", "*.example.github.io"),
    "what the list's own wildcard opens": ("*.compute.amazonaws.com", "name the sites"),
    "a bare public suffix": ("co.uk", "example.co.uk"),
    "an unlisted top-level domain": ("*.test", "name the sites"),
    "IPv4": ("1.2.3.4", "host's name"),
    "IPv6": ("::1", "host's name"),
    "odd number": ("0x7f.1", "write the host's name"),
    "URL": ("https://example.com/path", "write example.com"),
    "path": ("example.com/path", "write example.com"),
    "port": ("example.com:8443", "allowed_ports"),
    "leading dot": (".example.com", "*.example.com"),
    "inner wildcard": ("a.*.example.com", "*.x.com"),
    "glued wildcard": ("*example.com", "*.x.com"),
    "two wildcards": ("*.*.example.com", "*.x.com"),
    "the machine": ("localhost", "remove"),
    "below the machine": ("a.localhost", "remove"),
    "empty": ("", "name a host"),
    "space inside": ("exa mple.com", "usual form"),
}


@pytest.mark.parametrize(("written", "mend"), NO_PATTERN.values(), ids=NO_PATTERN)
def test_a_refused_pattern_says_the_mend(written: str, mend: str) -> None:
    with pytest.raises(PatternInvalid) as refusal:
        canonical_pattern(written)
    assert mend in refusal.value.mend


MATCHES = {
    "itself": ("example.com", "example.com"),
    "not below an exact name": ("a.example.com", None),
    "one below a wildcard": ("packages.npmjs.org", "*.npmjs.org"),
    "three below a wildcard": ("a.b.c.npmjs.org", "*.npmjs.org"),
    "never the apex": ("npmjs.org", None),
    "not a name that ends alike": ("evilnpmjs.org", None),
    "not a name that begins alike": ("example.com.evil.org", None),
    "the nearest wildcard": ("x.deep.npmjs.org", "*.deep.npmjs.org"),
}


@pytest.mark.parametrize(("name", "expected"), MATCHES.values(), ids=MATCHES)
def test_matching(name: str, expected: str | None) -> None:
    assert DomainSet(["example.com", "*.npmjs.org", "*.deep.npmjs.org"]).match(name) == expected


COVERS = {
    "an exact name by itself": ("example.com", True),
    "an exact name by a wildcard": ("a.npmjs.org", True),
    "a wildcard by itself": ("*.npmjs.org", True),
    "a narrower wildcard": ("*.a.npmjs.org", True),
    "not the apex of a wildcard": ("npmjs.org", False),
    "not a wildcard by its apex": ("*.example.com", False),
    "not a wider wildcard": ("*.org", False),
}


@pytest.mark.parametrize(("pattern", "expected"), COVERS.values(), ids=COVERS)
def test_covering(pattern: str, expected: bool) -> None:
    assert DomainSet(["example.com", "*.npmjs.org"]).covers(pattern) is expected


LABELS = st.text(alphabet="abc", min_size=1, max_size=2)
NAMES = st.lists(LABELS, min_size=2, max_size=5).map(".".join)


@given(st.lists(NAMES, max_size=5), st.lists(NAMES, max_size=5), NAMES)
def test_matching_is_what_its_definition_says(exact: list[str], below: list[str], name: str) -> None:
    domains = DomainSet([*exact, *(f"*.{base}" for base in below)])
    expected = name in exact or any(name.endswith(f".{base}") for base in below)
    assert (domains.match(name) is not None) is expected


PUBLIC = {
    "a site": ("example.org", True),
    "below it": ("files.example.org", True),
    "a suffix alone": ("co.uk", False),
    "a single label": ("intranet", False),
    "an unlisted suffix": ("db.corp", False),
    "special use": ("printer.local", False),
    "cloud metadata": ("metadata.google.internal", False),
    "onion": ("abc.onion", False),
}


@pytest.mark.parametrize(("name", "expected"), PUBLIC.values(), ids=PUBLIC)
def test_public_names(name: str, expected: bool) -> None:
    assert is_public_name(name) is expected
