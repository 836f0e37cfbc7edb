"""The gate's small parts: targets, addresses, settings, doors as text, firewall rules."""

import ipaddress
from pathlib import Path

import pytest
from stockade_network_policy.domain.decision import Decision, Verdict
from stockade_network_policy.gate import addresses, firewall, judge, target
from stockade_network_policy.gate.door import Door, NetworkMode
from stockade_network_policy.gate.ledger import Ledger
from stockade_network_policy.gate.settings import GateSettings

TARGETS = {
    "a tunnel": (("CONNECT", "http", "x.com:443"), ("x.com", 443, "")),
    "a plain request": (("GET", "http", "x.com"), ("x.com", 80, "")),
    "a plain request with a port": (("GET", "http", "x.com:8080"), ("x.com", 8080, "")),
    "an IPv6 literal": (("CONNECT", "http", "[::1]:443"), ("[::1]", 443, "")),
    "an IPv6 literal without a port": (("GET", "http", "[::1]"), ("[::1]", 80, "")),
}
MALFORMED = {
    "no port in a tunnel": ("CONNECT", "http", "x.com"),
    "an empty port": ("CONNECT", "http", "x.com:"),
    "port zero": ("CONNECT", "http", "x.com:0"),
    "a port out of range": ("CONNECT", "http", "x.com:65536"),
    "digits of another script": ("CONNECT", "http", "x.com:４４３"),
    "a sign": ("CONNECT", "http", "x.com:+443"),
    "plain HTTP in a tunnel": ("CONNECT", "http", "x.com:80"),
    "https in the clear": ("GET", "https", "x.com"),
}


@pytest.mark.parametrize(("asked", "expected"), TARGETS.values(), ids=TARGETS)
def test_a_target_is_read(asked: tuple[str, str, str], expected: tuple[str, int, str]) -> None:
    assert target.read(*asked) == expected


@pytest.mark.parametrize("asked", MALFORMED.values(), ids=MALFORMED)
def test_a_target_with_two_readings_is_malformed(asked: tuple[str, str, str]) -> None:
    assert target.read(*asked)[2]


def test_a_heads_last_header_counts() -> None:
    line, headers = judge.parse(b"POST /check HTTP/1.1\r\nx-host: a\r\nx-host: b\r\nx-lease: \r\nx-path: /: x")
    assert (line, headers) == ("POST /check HTTP/1.1", {"x-host": "b", "x-lease": "", "x-path": "/: x"})


def test_what_envoy_never_writes_is_no_head() -> None:
    with pytest.raises(ValueError, match="update sequence"):
        judge.parse(b"POST /check HTTP/1.1\r\nx-host:a")


@pytest.mark.parametrize(
    ("host", "written"),
    [("x.com", "x.com"), ("93.184.215.14", "93.184.215.14"), ("2606:4700::1:22", "[2606:4700::1:22]")],
)
def test_where_to_connect_has_one_reading(host: str, written: str) -> None:
    decision = Decision(
        decision_id="d", verdict=Verdict.ALLOW, rule="", reason="", policy="", policy_version=1,
        canonical_host=host, port=80,
    )  # fmt: skip
    answer = judge._allowed(decision).decode()
    assert f"x-stockade-host: {written}\r\n" in answer


def test_the_hosts_own_public_addresses_are_refused(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(
        "Local:\n  |-- 10.1.2.3\n     /32 host LOCAL\n  |-- 8.8.4.4\n     /32 host LOCAL\n"
    )
    (tmp_path / "if_inet6").write_text("26001901000000000000000000000001 02 40 00 80 eth0\n")
    assert [str(network) for network in addresses.own(tmp_path)] == ["2600:1901::1/128", "8.8.4.4/32"]


def test_an_exception_is_taken_out_of_what_is_refused_alone() -> None:
    refused = [ipaddress.ip_network(text) for text in addresses.refused(exceptions=["127.0.0.7"])]

    def is_refused(address: str) -> bool:
        return any(ipaddress.ip_address(address) in network for network in refused)

    assert not is_refused("127.0.0.7")
    assert all(map(is_refused, ("127.0.0.6", "127.0.0.8", "127.255.255.255", "10.0.0.1", "::1", "64:ff9b::a00:1")))
    assert not is_refused("8.8.8.8")


SETTINGS = {
    "exceptions in production": ({"exceptions": ("127.0.0.1:80",)}, "STOCKADE_GATE_PRODUCTION=false"),
    "an exception without a port": ({"exceptions": ("127.0.0.1",), "production": False}, "is no address:port"),
    "a name for a resolver": ({"resolvers": ("dns.test:53",)}, "STOCKADE_GATE_RESOLVERS"),
    "no network": ({"denied_addresses": ("10.0.0.1/8",)}, "STOCKADE_GATE_DENIED_ADDRESSES"),
}


@pytest.mark.parametrize(("fields", "mend"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_nobody_can_serve_end_in_one_line(
    fields: dict[str, object], mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        GateSettings(**fields)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert mend in said


def a_door(directory: Path) -> Door:
    """A door with every field set."""
    return Door(
        sandbox="sb-one",
        agent="ana",
        agent_type="tester",
        egress_socket=str(directory / "egress.sock"),
        api_socket=str(directory / "api.sock"),
        narrowing=("*.x.com",),
        network_mode=NetworkMode.WHITELISTED,
        created_ns=1,
        cuts=2,
    )


def test_the_ledger_gives_back_what_it_was_given(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "doors")
    ledger.put(a_door(tmp_path))
    assert list(ledger.load()) == [a_door(tmp_path)]
    ledger.remove("sb-one")
    assert list(ledger.load()) == []


def test_a_door_that_cannot_be_read_stays_closed_and_the_others_open(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "doors")
    ledger.put(a_door(tmp_path))
    (tmp_path / "doors" / "sb-torn.json").write_text('{"sandbox": "sb-t')
    assert list(ledger.load()) == [a_door(tmp_path)]


def test_a_cut_changes_the_listener_and_nothing_else_does(tmp_path: Path) -> None:
    settings = GateSettings()
    once, again = (list(a_door(tmp_path).listeners(settings)) for _ in range(2))
    assert once == again
    assert [listener.name for listener in once] == ["egress/sb-one", "api/sb-one"]


def test_the_firewall_holds_one_uid_to_what_is_public() -> None:
    settings = GateSettings(production=False, exceptions=("127.0.0.7:80",), resolvers=("127.0.0.53:53",))
    text = firewall.rules(settings, 4711)
    assert "meta skuid 4711 jump gate" in text
    before_refusal = text.partition("@refused4")[0]
    assert "ip daddr 127.0.0.7 tcp dport 80 accept" in before_refusal
    assert "ip daddr 127.0.0.53 udp dport 53 accept" in before_refusal
