"""Options that every command which creates a sandbox takes."""

from collections.abc import Iterable
from typing import Any, TypeVar

import click

from stockade_cli.durations import Size
from stockade_cli.settings import StackSettings

F = TypeVar("F")

_OPTIONS = (
    click.option("--agent-type", default="default", show_default=True, help="Whose profile and policy hold."),
    click.option("--agent", default="", metavar="ID", help="The agent it belongs to; default: its type and your name."),
    click.option("--network-mode", type=click.Choice(["isolated", "whitelisted", "host"], case_sensitive=False),
                 help="Which ways out it has; default: the profile's."),
    click.option("--tier", "least_tier", type=click.Choice(["namespace", "runc", "gvisor"], case_sensitive=False),
                 help="The weakest tier that will do; the profile's least holds, too."),
    click.option("--image", default="", metavar="I", help="The image to run; default: the agent image."),
    click.option("--allow-domain", "allowed_domains", multiple=True, metavar="D",
                 help="Narrow the policy to this domain; may be repeated."),
    click.option("--env", multiple=True, metavar="K=V", help="A variable of its environment; may be repeated."),
    click.option("--cpu", type=float, default=0, help="Cores; at most the profile's."),
    click.option("--memory", "memory_bytes", type=Size(), default=0, help="Memory, e.g. 512m; at most the profile's."),
    click.option("--disk", "disk_bytes", type=Size(), default=0, help="Disk, e.g. 256m; at most the profile's."),
    click.option("--pids", type=int, default=0, help="Processes; at most the profile's."),
)  # fmt: skip


def sandbox_options(command: F) -> F:
    """Adds them to a click command, as keyword arguments named as those of `AsyncSandbox`."""
    for option in reversed(_OPTIONS):
        command = option(command)  # type: ignore[type-var]
    return command


def agent_request(settings: StackSettings, ask: dict[str, Any]) -> dict[str, Any]:
    """The options' values as arguments of `AsyncSandbox`."""
    agent = ask["agent"] or f"{ask['agent_type'].removeprefix('qe-')}-{settings.person}"
    return {
        **ask,
        "agent": agent,
        "env": pairs(ask["env"]),
        "network_mode": ask["network_mode"] or "",
        "least_tier": ask["least_tier"] or "",
    }


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """K=V texts as a mapping. Raises click.BadParameter."""
    for text in texts:
        if "=" not in text:
            raise click.BadParameter(f"{text!r} is no K=V", param_hint="--env")
    return dict(text.split("=", 1) for text in texts)
