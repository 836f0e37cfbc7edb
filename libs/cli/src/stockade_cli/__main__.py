"""The `stockade` command. Each sub-command lives in a module of its own, imported when it is called."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

COMMANDS = {
    "up": ("stockade_cli.stack.commands:up", "Start the services and the gate, and wait until they serve."),
    "down": ("stockade_cli.stack.commands:down", "Stop everything and leave nothing behind."),
    "status": ("stockade_cli.stack.commands:status", "Say what runs and whether it serves."),
    "doctor": ("stockade_cli.doctor:doctor", "Check this machine and print what would mend it."),
    "run": ("stockade_cli.run:run", "Run one command in a new sandbox."),
    "sandbox": ("stockade_cli.sandbox:sandbox", "Create, list, use and stop sandboxes."),
    "node": ("stockade_cli.node:node", "Look after the nodes that sandboxes run on."),
    "mcp": ("stockade_cli.mcp.command:mcp", "Serve sandboxes as tools to a Model Context Protocol client."),
    "profiles": ("stockade_cli.profiles:profiles", "Show what each agent type may use."),
    "policy": ("stockade_cli.policy:policy", "Show and change what agents may reach."),
    "limits": ("stockade_cli.limits:limits", "Show what the limits have counted."),
    "gate": ("stockade_cli.gate:gate", "Look at the gate and its exceptions."),
    "cache": ("stockade_cli.cache:cache", "Look at and clear the embedding cache."),
    "flags": ("stockade_cli.flags:flags", "Show which feature flags hold for an agent, and why."),
    "audit": ("stockade_cli.audit:audit", "Read, verify and export the audit record."),
    "trace": ("stockade_cli.trace:trace", "Show the spans of a trace as a tree."),
    "metrics": ("stockade_cli.metrics:metrics", "Print the services' metrics, or serve them to Prometheus."),
    "completion": ("stockade_cli.completion:completion", "Print what makes a shell complete this command."),
}


class LazyGroup(click.Group):
    """Sub-commands by name and help line; the module of one is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--run-dir", type=click.Path(path_type=Path), help="Directory of the sockets.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Directory of what outlives a restart.")
@click.version_option(package_name="stockade-cli", prog_name="stockade")
@click.pass_context
def cli(ctx: click.Context, /, **directories: Path | None) -> None:
    """Run AI agents inside a wall."""
    from dataclasses import replace

    from stockade_rpckit.settings import load

    from stockade_cli.settings import StackSettings

    given: dict[str, Any] = {name: path.absolute() for name, path in directories.items() if path is not None}
    if "run_dir" in given:  # what stands in the command goes before what the environment says
        os.environ.pop("STOCKADE_STACK_ADDRESS", None)
    ctx.obj = replace(load(StackSettings, "STOCKADE_STACK"), **given)


def main() -> None:
    """Run the command; every failure that is foreseen is one line on stderr and a documented exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a refused handshake is told of by our line, not by gRPC's too
    try:
        sys.exit(cli(standalone_mode=False))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except click.exceptions.NoArgsIsHelpError as help_asked_for:
        click.echo(help_asked_for.format_message(), err=True)
        sys.exit(help_asked_for.exit_code)
    except click.UsageError as error:
        where = f"; see: {error.ctx.command_path} --help" if error.ctx else ""
        _end(f"{error.format_message().rstrip('.')}{where}", error.exit_code)
    except Exception as error:
        _end(*_known(error))


def _end(line: str, code: int) -> NoReturn:
    click.echo(f"stockade: {line}", err=True)
    sys.exit(code)


def _known(error: Exception) -> tuple[str, int]:
    """The line and exit code of a foreseen failure; raises any other, which is a defect of ours."""
    import grpc
    from stockade_agent.errors import StockadeError

    from stockade_cli.errors import CommandFailed, failed

    if isinstance(error, grpc.RpcError | StockadeError):
        error = failed(error)
    if isinstance(error, CommandFailed):
        return error.message, error.code
    raise error


if __name__ == "__main__":
    main()
