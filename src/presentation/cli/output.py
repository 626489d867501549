"""What commands that list or show write to standard output: columns for people, or JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import typer

from presentation.cli.report import visible

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="For programs: JSON with keys that stay.")]


def show_json(value: Mapping[str, object]) -> None:
    """``value`` as one JSON object."""
    typer.echo(json.dumps(value, indent=2))


def show_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """``rows`` in columns below ``header``; what does not print is escaped."""
    table = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """One line for each of ``pairs``, the values below one another."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        typer.echo(f"{name.ljust(width)}  {visible(value)}".rstrip())
