"""nftables rules that hold Envoy's user to public addresses, its resolvers and the exceptions: a third layer.

Applied by whoever starts the gate as root: `nft -f -` with `rules(…)`, and `nft delete table inet …` after. The table
bears the uid, so that two stacks on one machine have one each.
"""

from pathlib import Path

from stockade_network_policy.gate import addresses
from stockade_network_policy.gate.settings import Endpoint, GateSettings


def rules(settings: GateSettings, uid: int, resolvers: tuple[str, ...] = ()) -> str:
    """The table as text; `resolvers` are those of the host, as addresses, where the settings name none."""
    servers = [Endpoint.parse(text) for text in settings.resolvers] or [Endpoint(text, 53) for text in resolvers]
    table = f"stockade_gate_{uid}"
    allowed = [
        *(
            f"{_match(server)} {protocol} dport {server.port} accept"
            for server in servers
            for protocol in ("udp", "tcp")
        ),
        *(f"{_match(endpoint)} tcp dport {endpoint.port} accept" for endpoint in settings.exception_endpoints),
    ]
    refused = addresses.refused(settings.denied_addresses)
    lines = [
        f"table inet {table}",  # so that the next line finds one to delete
        f"delete table inet {table}",
        f"table inet {table} {{",
        _set("refused4", "ipv4_addr", [network for network in refused if ":" not in network]),
        _set("refused6", "ipv6_addr", [network for network in refused if ":" in network]),
        "  chain gate {",
        *(f"    {rule}" for rule in allowed),
        "    ip daddr @refused4 counter reject with icmpx admin-prohibited",
        "    ip6 daddr @refused6 counter reject with icmpx admin-prohibited",
        "    meta l4proto != tcp counter reject with icmpx admin-prohibited",
        "  }",
        "  chain output {",
        "    type filter hook output priority filter; policy accept;",
        f"    meta skuid {uid} jump gate",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def host_resolvers(file: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The addresses of the host's own name servers (resolv.conf(5))."""
    words = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return tuple(line[1].partition("%")[0] for line in words if line[:1] == ["nameserver"] and len(line) > 1)


def _match(endpoint: Endpoint) -> str:
    return f"{'ip6' if ':' in endpoint.address else 'ip'} daddr {endpoint.address}"


def _set(name: str, kind: str, networks: list[str]) -> str:
    elements = ", ".join(networks)
    return f"  set {name} {{ type {kind}; flags interval; auto-merge; elements = {{ {elements} }} }}"
