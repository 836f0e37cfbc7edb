"""A policy as the text of a policy file, which `stockade policy apply` takes."""

from stockade.networkpolicy.v1 import policy_pb2 as pb

_LIMITS = ("requests_per_minute", "requests_per_hour", "burst_size", "max_tunnels", "bytes_per_hour")


def file_text(policy: pb.Policy) -> str:
    """A file that holds this policy alone; what says the usual is left out."""
    lines = ["policies:", f"  {policy.agent_type}:", *_domains(policy)]
    lines += [f"    {name}: {value}" for name, value in _fields(policy)]
    return "\n".join(lines)


def _domains(policy: pb.Policy) -> list[str]:
    if not policy.allowed_domains:
        return ["    allowed_domains: []"]
    quoted = (f'"{domain}"' if domain.startswith("*") else domain for domain in policy.allowed_domains)
    return ["    allowed_domains:", *(f"      - {domain}" for domain in quoted)]


def _fields(policy: pb.Policy) -> list[tuple[str, object]]:
    fields: list[tuple[str, object]] = [(name, getattr(policy.limits, name)) for name in _LIMITS]
    fields.append(("tunnel_lifetime_s", policy.limits.tunnel_lifetime.seconds))
    fields = [(name, value) for name, value in fields if value]
    if list(policy.allowed_ports) != [80, 443]:
        fields.append(("allowed_ports", list(policy.allowed_ports)))
    if not policy.audit_logging:
        fields.append(("audit_logging", "false"))
    if not policy.block_unknown_domains:
        fields.append(("block_unknown_domains", "false"))
    if policy.mode == pb.POLICY_MODE_REPORT:
        fields.append(("mode", "REPORT"))
    return fields
