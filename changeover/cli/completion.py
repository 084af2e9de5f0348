"""`changeover completion`: what a shell has to read so that Tab completes."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_CHANGEOVER_COMPLETE"


@click.command("completion", epilog="""
\b
Examples:
  changeover completion bash > ~/.local/share/bash-completion/completions/changeover
  changeover completion fish > ~/.config/fish/completions/changeover.fish
  changeover completion zsh > ~/.zfunc/_changeover
\b
For zsh, `fpath+=~/.zfunc; autoload -Uz compinit; compinit` stands in ~/.zshrc.
To try it: eval "$(changeover completion bash)", or for fish: changeover completion fish | source
""")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what bash, zsh or fish needs to complete commands, options, stages and flags."""
    from changeover.cli.main import cli

    kind = get_completion_class(shell)
    # every shell of the list is one of click's
    if kind is not None:
        click.echo(kind(cli, {}, "changeover", VARIABLE).source())
