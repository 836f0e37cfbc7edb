"""`stockade completion`: the line that teaches a shell to complete this command."""

import click

_LINES = {
    "bash": 'eval "$(_STOCKADE_COMPLETE=bash_source stockade)"',
    "zsh": 'eval "$(_STOCKADE_COMPLETE=zsh_source stockade)"',
    "fish": "_STOCKADE_COMPLETE=fish_source stockade | source",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_LINES)))
def completion(shell: str) -> None:
    """Print the line that belongs into SHELL's start-up file."""
    click.echo(_LINES[shell])
