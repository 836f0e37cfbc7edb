"""Envoy's filters as the gate wants them, one function each, as plain values of Envoy's own configuration language."""

from importlib import resources
from typing import Any

from stockade_network_policy.gate import addresses
from stockade_network_policy.gate.settings import Endpoint, GateSettings

Value = dict[str, Any]

IDENTITY = ("sandbox", "agent", "agent-type")
"""What a door says of its caller: filter state `stockade.<name>`, and the header `x-stockade-<name>` made from it."""

HASHABLE = "envoy.hashable_string"
"""A string in filter state that is part of a connection pool's key. Any other is not: a connection that one caller
gave up, and that carries his name, would be handed to the next one."""

_ANSWERS = ("host", "port", "decision", "rule", "capped")
"""What the gate itself says of a request on its way, as headers `x-stockade-<name>`."""

MANY = 1_000_000
"""No bound here: what bounds a sandbox is its own door, never what it shares with others."""

_EXTENSIONS = "type.googleapis.com/envoy.extensions."
_HTTP = "filters.http."
_NETWORK = "filters.network."


def extension(name: str, kind: str, **config: Any) -> Value:
    """An extension by name, with its typed configuration; `kind` is the type's name under envoy.extensions."""
    return {"name": f"envoy.{name}", "typed_config": {"@type": _EXTENSIONS + kind, **config}}


def http(name: str, message: str, **config: Any) -> Value:
    """An HTTP filter."""
    return extension(_HTTP + name, f"{_HTTP}{name}.v3.{message}", **config)


def network(name: str, message: str, **config: Any) -> Value:
    """A network filter."""
    return extension(_NETWORK + name, f"{_NETWORK}{name}.v3.{message}", **config)


def formatted(text: str) -> Value:
    """A format string."""
    return {"text_format_source": {"inline_string": text}}


# Who calls ------------------------------------------------------------------------------------------------------


def caller(**identity: str) -> Value:
    """What a door does on each connection: it writes the caller where no header reaches."""
    return network(
        "set_filter_state",
        "Config",
        on_new_connection=[
            {
                "object_key": f"stockade.{name}",
                # One of them alone: a key of several depends on their order, which differs by connection.
                "factory_key": HASHABLE if name == "sandbox" else "envoy.string",
                "format_string": formatted(value),
                "shared_with_upstream": "TRANSITIVE",
            }
            for name, value in identity.items()
        ],
    )


def forget_claims() -> Value:
    """Drops what a client says of itself or tells Envoy to do, before a route is chosen."""
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": _EXTENSIONS + "http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [
                *({"remove": f"x-stockade-{name}"} for name in (*IDENTITY, *_ANSWERS)),
                _remove("x-envoy-"),
                {"remove": "x-request-id"},
            ],
        },
    }


def identity_headers() -> Value:
    """Writes the identity headers from the door's filter state."""
    return http(
        "header_mutation",
        "HeaderMutation",
        mutations={
            "request_mutations": [
                {
                    "append": {
                        "header": {"key": f"x-stockade-{name}", "value": f"%FILTER_STATE(stockade.{name}:PLAIN)%"},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                }
                for name in IDENTITY
            ]
        },
    )


def cap(stat_prefix: str, per_second: int) -> Value:
    """A bucket for each sandbox, so that a flood ends in Envoy and harms its sender alone. Marks what is over it."""
    always, never = ({"default_value": {"numerator": share, "denominator": "HUNDRED"}} for share in (100, 0))
    return http(
        "local_ratelimit",
        "LocalRateLimit",
        stat_prefix=stat_prefix,
        # Only the sandboxes' own buckets bind: this one is what the filter wants beside them.
        token_bucket={"max_tokens": 1_000_000_000, "tokens_per_fill": 1_000_000_000, "fill_interval": "1s"},
        filter_enabled=always,
        filter_enforced=never,
        request_headers_to_add_when_not_enforced=[add("x-stockade-capped", "true")],
        max_dynamic_descriptors=100_000,
        rate_limits=[
            {"actions": [{"request_headers": {"header_name": "x-stockade-sandbox", "descriptor_key": "sandbox"}}]}
        ],
        descriptors=[
            {
                "entries": [{"key": "sandbox"}],  # no value: a bucket for each
                "token_bucket": {
                    "max_tokens": per_second,
                    "tokens_per_fill": max(1, per_second // 10),
                    "fill_interval": "0.1s",
                },
            }
        ],
    )


def hold_back(**abort: int) -> Value:
    """Refuses what is over the cap, after a while: who has to wait cannot ask fast, and takes no time from others."""
    whole = {"numerator": 100, "denominator": "HUNDRED"}
    return http(
        "fault",
        "HTTPFault",
        headers=[{"name": "x-stockade-capped", "present_match": True}],
        delay={"fixed_delay": "0.25s", "percentage": whole},
        abort={**abort, "percentage": whole},
        max_active_faults=MANY,
        disable_downstream_cluster_stats=True,
    )


def connection_rate(stat_prefix: str, settings: GateSettings) -> Value:
    """Bounds a door's new connections in a second, before anything is made for one: a refused one shall cost little."""
    per_second = settings.connections_per_second
    bucket = {"max_tokens": per_second, "tokens_per_fill": max(1, per_second // 10), "fill_interval": "0.1s"}
    kind = "filters.listener.local_ratelimit"
    return extension(kind, f"{kind}.v3.LocalRateLimit", stat_prefix=stat_prefix, token_bucket=bucket)


def connection_limit(stat_prefix: str, settings: GateSettings) -> Value:
    """Bounds a door's open connections."""
    return network("connection_limit", "ConnectionLimit", stat_prefix=stat_prefix, max_connections=settings.connections)


# The judgement --------------------------------------------------------------------------------------------------


def judge(settings: GateSettings) -> Value:
    """Asks the service about each request."""
    source = resources.files(__package__).joinpath("judge.lua").read_text()
    source = source.replace("JUDGE_MILLISECONDS", str(settings.judge_milliseconds))
    return http("lua", "Lua", default_source_code={"inline_string": source})


def guard() -> Value:
    """Lets pass only what carries the judge's verdict: a failing Lua filter lets everything through."""
    verdict = {
        "filter": "stockade",
        "path": [{"key": "verdict"}],
        "value": {"string_match": {"exact": "allow"}},
    }
    return http("rbac", "RBAC", rules=_rules("ALLOW", "judged", {"sourced_metadata": {"metadata_matcher": verdict}}))


def unjudged() -> Value:
    """Per-route configuration that leaves judge and guard out."""
    return {
        "envoy.filters.http.lua": {"@type": _EXTENSIONS + "filters.http.lua.v3.LuaPerRoute", "disabled": True},
        "envoy.filters.http.rbac": {"@type": _EXTENSIONS + "filters.http.rbac.v3.RBACPerRoute"},
    }


def destination() -> Value:
    """Where `tunnel_destination` of a route takes effect."""
    return http("set_filter_state", "Config")


def tunnel_destination() -> Value:
    """Per-route configuration: hands the judge's canonical host and port, and its decision, to the tunnel's inside.

    Not to plain requests: what is shared with an upstream becomes part of its connections' key, and each request would
    get a connection of its own.
    """
    state = {
        "envoy.upstream.dynamic_host": ("host", {}),
        "envoy.upstream.dynamic_port": ("port", {}),
        "stockade.decision": ("decision", {"factory_key": HASHABLE}),
    }
    values = [
        {
            "object_key": key,
            "format_string": formatted(f"%REQ(x-stockade-{header})%"),
            "shared_with_upstream": "ONCE",
            **factory,
        }
        for key, (header, factory) in state.items()
    ]
    return {
        "envoy.filters.http.set_filter_state": {
            "@type": _EXTENSIONS + "filters.http.set_filter_state.v3.Config",
            "on_request_headers": values,
        }
    }


# Names and addresses --------------------------------------------------------------------------------------------


def dns_cache(settings: GateSettings) -> Value:
    """The one cache of names, whose first layer on addresses drops the refused ones from every answer."""
    excepted = {endpoint.address for endpoint in settings.exception_endpoints}
    refused = addresses.refused(settings.denied_addresses, excepted)
    return {
        "name": "names",
        "dns_lookup_family": "V4_PREFERRED",
        "host_ttl": "60s",
        "max_hosts": 4096,
        "dns_query_timeout": "3s",
        "dns_failure_refresh_rate": {"base_interval": "1s", "max_interval": "5s"},
        "dns_cache_circuit_breaker": {"max_pending_requests": 4096},
        "resolved_address_filter": {"ranges": [_cidr(network) for network in refused]},
        "typed_dns_resolver_config": resolver(settings),
    }


def resolver(settings: GateSettings) -> Value:
    """c-ares, on the resolvers of the settings or else the host's."""
    servers = [
        {"socket_address": {"address": server.address, "port_value": server.port}}
        for server in map(Endpoint.parse, settings.resolvers)
    ]
    return extension(
        "network.dns_resolver.cares",
        "network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        dns_resolver_options={"no_default_search_domain": True},
        **({"resolvers": servers} if servers else {}),
    )


def forward_proxy(settings: GateSettings) -> Value:
    """Resolves the name of a plain request."""
    return http(
        "dynamic_forward_proxy", "FilterConfig", dns_cache_config=dns_cache(settings), save_upstream_address=True
    )


def tunnel_forward_proxy(settings: GateSettings) -> Value:
    """Resolves the SNI of a tunnel; the port is the CONNECT's, from filter state."""
    return network(
        "sni_dynamic_forward_proxy", "FilterConfig", dns_cache_config=dns_cache(settings), save_upstream_address=True
    )


def upstream_addresses(settings: GateSettings) -> Value:
    """The second layer on addresses for plain requests: after a host is chosen, before it is connected."""
    return extension("filters.http.upstream_rbac", "filters.http.rbac.v3.RBAC", rules=_address_rules(settings))


def tunnel_addresses(settings: GateSettings) -> Value:
    """The second layer on addresses inside tunnels, where HTTP filters never run."""
    return network("rbac", "RBAC", stat_prefix="address", rules=_address_rules(settings))


def server_name() -> Value:
    """Holds a tunnel's SNI to its CONNECT host. Filter state is bytes in CEL: a plain comparison is always false."""
    sni = {"select_expr": {"operand": _name("connection"), "field": "requested_server_name"}}
    host = _call("_[_]", _name("filter_state"), {"const_expr": {"string_value": "envoy.upstream.dynamic_host"}})
    rules = _rules("ALLOW", "sni_is_connect_host", {"any": True})
    rules["policies"]["sni_is_connect_host"]["condition"] = _call("_==_", _call("bytes", sni), host)
    return network("rbac", "RBAC", stat_prefix="sni", rules=rules)


# Leaving the gate -----------------------------------------------------------------------------------------------


def strip() -> Value:
    """Keeps from the upstream what is Stockade's, Envoy's or the proxy's own; runs after the router's headers."""
    names = (
        "x-request-id",
        "x-forwarded-proto",
        "x-forwarded-for",
        "traceparent",
        "tracestate",
        "proxy-authorization",
        "proxy-connection",
    )
    removals = [_remove("x-stockade-"), _remove("x-envoy-"), *({"remove": name} for name in names)]
    return http("header_mutation", "HeaderMutation", mutations={"request_mutations": removals})


def router() -> Value:
    """The end of a chain of HTTP filters."""
    return http("router", "Router", suppress_envoy_headers=True)


def upstream_codec() -> Value:
    """The end of a chain of upstream HTTP filters."""
    return http("upstream_codec", "UpstreamCodec")


def tcp_proxy(stat_prefix: str, cluster: str, **config: Any) -> Value:
    """The end of a chain of network filters."""
    return network("tcp_proxy", "TcpProxy", stat_prefix=stat_prefix, cluster=cluster, **config)


def _address_rules(settings: GateSettings) -> Value:
    refused = [_upstream(network) for network in addresses.refused(settings.denied_addresses)]
    permission: Value = {"or_rules": {"rules": refused}}
    if settings.exceptions:
        excepted = [_upstream(endpoint.address, endpoint.port) for endpoint in settings.exception_endpoints]
        permission = {"and_rules": {"rules": [permission, {"not_rule": {"or_rules": {"rules": excepted}}}]}}
    return _rules("DENY", "refused_address", permission)


def _upstream(network: str, port: int | None = None) -> Value:
    ports = {} if port is None else {"upstream_port_range": {"start": port, "end": port + 1}}
    matcher = {
        "@type": _EXTENSIONS + "rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher",
        "upstream_ip": _cidr(network),
        **ports,
    }
    return {"matcher": {"name": "envoy.rbac.matchers.upstream_ip_port", "typed_config": matcher}}


def _rules(action: str, name: str, permission: Value) -> Value:
    return {"action": action, "policies": {name: {"permissions": [permission], "principals": [{"any": True}]}}}


def _cidr(network: str) -> Value:
    address, _, length = network.partition("/")
    return {"address_prefix": address, "prefix_len": int(length or (128 if ":" in address else 32))}


def _remove(prefix: str) -> Value:
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}


def add(key: str, value: str) -> Value:
    """A header to set."""
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _name(identifier: str) -> Value:
    return {"ident_expr": {"name": identifier}}


def _call(function: str, *arguments: Value) -> Value:
    return {"call_expr": {"function": function, "args": list(arguments)}}
