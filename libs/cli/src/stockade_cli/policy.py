"""`stockade policy`: what agents may reach, and how to change it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click
from stockade.networkpolicy.v1 import policy_pb2, policy_service_pb2_grpc
from stockade.networkpolicy.v1 import policy_service_pb2 as pb

from stockade_cli.connection import stub
from stockade_cli.errors import CommandFailed, Exit
from stockade_cli.names import short_name
from stockade_cli.output import json_option, print_fields, print_json, print_table, say, style
from stockade_cli.policy_text import file_text

_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
def policy() -> None:
    """Show and change what agents may reach."""


def _service() -> Any:
    return stub(policy_service_pb2_grpc.PolicyServiceStub, "policy")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}", Exit.USAGE) from None


@policy.command("list")
@json_option
def list_policies(as_json: bool) -> None:
    """List the policies, one for each agent type."""
    found: list[policy_pb2.Policy] = []
    token = ""
    with _service() as service:
        while True:
            page = service.ListPolicies(pb.ListPoliciesRequest(page_size=1000, page_token=token))
            found += page.policies
            token = page.next_page_token
            if not token:
                break
    if as_json:
        print_json(found)
    else:
        print_table(("TYPE", "DOMAINS", "MINUTE", "BURST", "HOUR", "MODE", "VERSION", "CHANGED BY"), map(_row, found))


def _row(found: policy_pb2.Policy) -> tuple[object, ...]:
    limits = found.limits
    return (
        found.agent_type,
        len(found.allowed_domains),
        limits.requests_per_minute,
        limits.burst_size,
        limits.requests_per_hour,
        short_name(policy_pb2.PolicyMode, found.mode),
        found.version,
        found.changed_by,
    )


@policy.command()
@click.argument("agent_type")
@json_option
def show(agent_type: str, as_json: bool) -> None:
    """Show the policy that holds for AGENT_TYPE, as a file that `apply` takes."""
    with _service() as service:
        found = service.GetPolicy(pb.GetPolicyRequest(agent_type=agent_type)).policy
    if as_json:
        print_json(found)
        return
    if found.agent_type == "default" and agent_type.removeprefix("qe-") != "default":
        say(f"stockade: {agent_type} has no policy of its own: this one holds for it")
    click.echo(style(f"# version {found.version}, by {found.changed_by}", dim=True))
    click.echo(file_text(found))


@policy.command()
@_FILE
@json_option
def lint(file: Path, as_json: bool) -> None:
    """Find every mistake in a policy FILE. Ends with 1 where there is one."""
    with _service() as service:
        found = service.LintPolicies(pb.LintPoliciesRequest(text=_text(file)))
    if as_json:
        print_json(found)
    for mistake in () if as_json else found.mistakes:
        click.echo(_line(file, mistake))
    if found.mistakes:
        raise CommandFailed(f"{_counted(len(found.mistakes), 'mistake')} in {file}", Exit.FAILED)
    say(f"stockade: {file} holds {_counted(found.policies, 'policy', 'policies')} and no mistake")


def _line(file: Path, mistake: policy_pb2.Mistake) -> str:
    return f"{file}:{mistake.line}: {mistake.field}: {mistake.message}; {mistake.mend}"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


@policy.command()
@_FILE
@json_option
def apply(file: Path, as_json: bool) -> None:
    """Make the policies of a FILE hold; others stay as they are. One mistake, and nothing is applied."""
    text = _text(file)
    with _service() as service:
        if mistakes := service.LintPolicies(pb.LintPoliciesRequest(text=text)).mistakes:
            _refuse(file, mistakes)
        applied = service.ApplyPolicies(pb.ApplyPoliciesRequest(text=text))
    if as_json:
        print_json(applied)
        return
    for what in ("created", "updated", "unchanged"):
        for agent_type in getattr(applied, what):
            click.echo(f"{what.ljust(9)}  {agent_type}")


def _refuse(file: Path, mistakes: Sequence[policy_pb2.Mistake]) -> NoReturn:
    """One line: the first mistake, and how to see the others."""
    more = f" ({len(mistakes) - 1} more: stockade policy lint {file})" if len(mistakes) > 1 else ""
    raise CommandFailed(f"{_line(file, mistakes[0])}{more} [POLICY_INVALID]", Exit.USAGE)


@policy.command()
@click.argument("agent_type")
@click.argument("domains", nargs=-1, required=True)
def allow(agent_type: str, domains: tuple[str, ...]) -> None:
    """Add DOMAINS to the policy of AGENT_TYPE: x.com, or '*.x.com' for any depth below it."""
    with _service() as service:
        stored = service.AddDomains(pb.AddDomainsRequest(agent_type=agent_type, domains=domains)).policy
    say(f"stockade: {_allows(stored)}")


@policy.command()
@click.argument("agent_type")
@click.argument("domains", nargs=-1, required=True)
def revoke(agent_type: str, domains: tuple[str, ...]) -> None:
    """Remove DOMAINS from the policy of AGENT_TYPE; its open tunnels are cut."""
    with _service() as service:
        before = service.GetPolicy(pb.GetPolicyRequest(agent_type=agent_type, exact=True)).policy
        stored = service.RemoveDomains(pb.RemoveDomainsRequest(agent_type=agent_type, domains=domains)).policy
    if stored.version == before.version:
        asked = f"did not allow {', '.join(domains)}: nothing is revoked"
        raise CommandFailed(f"{agent_type} {asked}; `stockade policy show {agent_type}` lists what it allows")
    say(f"stockade: {_allows(stored)}, {len(before.allowed_domains) - len(stored.allowed_domains)} fewer")


def _allows(stored: policy_pb2.Policy) -> str:
    count = _counted(len(stored.allowed_domains), "domain")
    return f"{stored.agent_type} version {stored.version} allows {count}"


@policy.command()
@click.argument("agent_type")
@click.argument("host")
@click.option("--port", type=click.IntRange(1, 65535), default=443, show_default=True)
@json_option
def test(agent_type: str, host: str, port: int, as_json: bool) -> None:
    """Tell what a request of AGENT_TYPE to HOST would get, and by which rule. Ends with 5 where it is refused."""
    _hold_to_a_host(host)
    with _service() as service:
        found = service.TestPolicy(pb.TestPolicyRequest(agent_type=agent_type, host=host, port=port))
    if as_json:
        print_json(found)
    else:
        print_fields(_verdict(found))
    if not found.allowed:
        raise SystemExit(Exit.REFUSED)


def _hold_to_a_host(text: str) -> None:
    if "/" in text:
        host = urlsplit(text if "//" in text else f"//{text}").hostname
        raise click.BadParameter(f"{text} is a URL; ask about its host, {host}")
    name, _, port = text.rpartition(":")
    if name and ":" not in name and port.isdecimal():
        raise click.BadParameter(f"{text} names a port; write {name} --port {port}")


def _verdict(found: pb.TestPolicyResponse) -> dict[str, object]:
    fields: dict[str, object] = {
        "verdict": style("allowed", fg="green") if found.allowed else style("refused", fg="red"),
        "rule": found.rule,
        "reason": found.reason,
        "policy": f"{found.policy}, version {found.policy_version}",
    }
    return fields | ({"nearest": found.nearest_rule} if found.nearest_rule else {})


@policy.command()
@click.argument("agent_type")
@click.option("--from", "before", type=click.IntRange(1), help="Version before; else the one before the current.")
@click.option("--to", "after", type=click.IntRange(1), help="Version after; else the current.")
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Else: what applying it would do."
)
@json_option
def diff(agent_type: str, before: int | None, after: int | None, file: Path | None, as_json: bool) -> None:
    """Show exactly which hosts and limits a change of a policy adds or removes."""
    with _service() as service:
        if file:
            in_file = pb.PolicyInFile(text=_text(file), agent_type=agent_type)
            old, new = pb.PolicyOperand(agent_type=agent_type), pb.PolicyOperand(file=in_file)
        else:
            current = service.GetPolicy(pb.GetPolicyRequest(agent_type=agent_type, exact=True)).policy
            after = after or current.version
            old = _version(current.agent_type, before or max(1, after - 1))
            new = _version(current.agent_type, after)
        found = service.DiffPolicies(pb.DiffPoliciesRequest(before=old, after=new))
    if as_json:
        print_json(found)
        return
    if not (found.added or found.removed or found.fields):
        say("stockade: no difference")
    for sign, colour, sets in (("+", "green", found.added), ("-", "red", found.removed)):
        for hosts in sets:
            click.echo(style(f"{sign} {_hosts(hosts)}", fg=colour))
    for field in found.fields:
        click.echo(f"~ {field.field}: {field.before} -> {field.after}{' (tighter)' if field.tightens else ''}")


def _version(agent_type: str, version: int) -> pb.PolicyOperand:
    return pb.PolicyOperand(version=pb.PolicyVersionName(agent_type=agent_type, version=version))


def _hosts(hosts: pb.HostSet) -> str:
    excepted = list(getattr(hosts, "except"))  # a keyword here, a field there
    return f"{hosts.pattern} except {', '.join(excepted)}" if excepted else hosts.pattern


@policy.command()
@click.argument("agent_type")
@json_option
def propose(agent_type: str, as_json: bool) -> None:
    """Propose the policy that would have let pass what AGENT_TYPE was refused, as a file that `apply` takes."""
    with _service() as service:
        found = service.ProposePolicy(pb.ProposePolicyRequest(agent_type=agent_type))
    if as_json:
        print_json(found)
        return
    if not found.refused:
        say(f"stockade: {agent_type} was refused nothing lately: this is its policy as it is")
    for refused in found.refused:
        left_out = f", left out: {refused.left_out}" if refused.left_out else ""
        click.echo(style(f"# {refused.count} times {refused.host}:{refused.port}{left_out}", dim=True))
    click.echo(file_text(found.policy))
