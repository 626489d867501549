"""Where a sub-command looks for the configuration: its own option, else that of the command above it."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer

from presentation.cli.options import DEFAULT_CONFIG_DIR

OwnConfigDir: TypeAlias = Annotated[
    str | None,
    typer.Option("--config-dir", metavar="DIR", help="Where the configuration is, as for the command above."),
]


@dataclass(frozen=True, slots=True)
class ChosenFolder:
    """What was given to ``server`` or ``client`` itself."""

    path: str


def chosen_folder(context: typer.Context, own: str | None) -> str:
    """The folder that the sub-command of ``context`` is to use."""
    above = context.find_object(ChosenFolder)
    return own or (above.path if above is not None else DEFAULT_CONFIG_DIR)
