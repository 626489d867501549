"""``tungo completion``: teaching a shell the commands and options of ``tungo``."""

import os
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final

import typer

# By this variable the shell's script asks, and is asked for (typer): complete_bash, source_bash and so on.
COMPLETE_VARIABLE: Final = "_TUNGO_COMPLETE"

COMPLETION_EPILOG: Final = """\b
Examples:
  eval "$(tungo completion bash)"         for this shell, or in ~/.bashrc for all to come
  tungo completion bash > /etc/bash_completion.d/tungo
  tungo completion zsh > ~/.zfunc/_tungo  in a folder that is in fpath
  tungo completion fish > ~/.config/fish/completions/tungo.fish"""


class Shell(StrEnum):
    """The shells that there are scripts for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def is_asked_for_completion() -> bool:
    """Whether it is a shell that runs the program, to know how a line could go on.

    The library's part in it brings two options along, which look for the shell around them and find none
    where a package is built. They are hidden from everybody else, and the command takes their place.
    """
    return COMPLETE_VARIABLE in os.environ


def add_completion(app: typer.Typer, build_again: Callable[[], typer.Typer]) -> None:
    """Give ``app`` the command ``completion``; ``build_again`` makes another such app, for a shell to ask."""

    @app.command("completion", epilog=COMPLETION_EPILOG)
    def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete in.")]) -> None:
        """Print the script that completes commands, options and values in a shell."""
        os.environ[COMPLETE_VARIABLE] = f"source_{shell.value}"
        try:
            build_again()(prog_name="tungo", args=[])
        finally:
            del os.environ[COMPLETE_VARIABLE]
