"""How a failure looks: ``tungo: one sentence`` on standard error and an exit status, never a traceback."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from presentation.cli.commands import CommandError, ExitStatus

DEBUG_VARIABLE = "TUNGO_DEBUG"


@contextmanager
def failures_reported() -> Iterator[None]:
    """Turn whatever the body raises into its sentence and ``typer.Exit``.

    With TUNGO_DEBUG=1 in the environment the traceback is printed first.
    """
    try:
        yield
    except CommandError as error:
        _show_traceback()
        complain(str(error))
        raise typer.Exit(error.exit_code) from error
    except typer.Exit:
        raise
    except Exception as error:
        _show_traceback()
        hint = "" if _debugging() else f" ({DEBUG_VARIABLE}=1 shows where)"
        complain(f"unexpected {type(error).__name__}: {error}{hint}")
        status = ExitStatus.NO_RIGHTS if isinstance(error, PermissionError) else ExitStatus.FAILURE
        raise typer.Exit(status) from error


def complain(message: str) -> None:
    """``message`` as one line on standard error; what does not print is escaped."""
    typer.echo(f"tungo: {visible(' '.join(message.split()))}", err=True)


def visible(text: str) -> str:
    """``text`` with what does not print escaped, so that it can neither end its line nor move the cursor."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


def _show_traceback() -> None:
    if _debugging():
        typer.echo(traceback.format_exc(), err=True, nl=False)
