"""What several commands take in the same way."""

from typing import Annotated, Final

import typer

from application.runtime.log import LogFormat, LogLevel
from presentation.cli.commands import CleanUp, CommandError
from presentation.cli.report import complain

DEFAULT_CONFIG_DIR: Final = "/etc/tungo"
CONFIG_DIR_VARIABLE: Final = "TUNGO_CONFIG_DIR"

ConfigDir = Annotated[
    str,
    typer.Option(
        "--config-dir",
        metavar="DIR",
        envvar=CONFIG_DIR_VARIABLE,
        help="Where the configuration is.",
    ),
]
Level = Annotated[LogLevel, typer.Option("--log-level", help="The least important log line to write.")]
Format = Annotated[
    LogFormat,
    typer.Option("--log-format", help="How log lines look; auto suits a terminal, the journal or a file."),
]


def tell(clean_up: CleanUp) -> None:
    """Say what was taken back. Raises CommandError if something was not."""
    for change in clean_up.undone:
        typer.echo(f"took back {change}")
    for sentence in clean_up.failed:
        complain(f"could not take back {sentence}")
    if clean_up.running:
        raise CommandError("; ".join(clean_up.running))
    if clean_up.failed:
        raise CommandError("not everything could be taken back; run this again when the reasons are gone")
    if not clean_up.undone:
        typer.echo("there is nothing to take back")
