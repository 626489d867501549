"""``tungo config`` and its sub-commands: configuration files of either kind."""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from presentation.cli.administration import CheckedFile, Migration
from presentation.cli.commands import ExitStatus, Loaders
from presentation.cli.options import DEFAULT_CONFIG_DIR, ConfigDir
from presentation.cli.output import Json, show_json
from presentation.cli.report import complain, failures_reported, visible

CONFIG_EPILOG: Final = """\b
Examples:
  tungo config check                      everything in /etc/tungo
  tungo config check client.json          a file that was just edited, before it is put into use
  tungo config migrate --dry-run          what would be changed in files of older versions"""

File: TypeAlias = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="Otherwise all that are in the folder.")
]


def config_app(loaders: Loaders) -> typer.Typer:
    """The group ``config`` over the commands that ``loaders`` loads."""
    app = typer.Typer(
        help="Check configuration files and bring them up to date.",
        epilog=CONFIG_EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
    )

    @app.command("check")
    def check(file: File = None, config_dir: ConfigDir = DEFAULT_CONFIG_DIR, *, json: Json = False) -> None:
        """Say everything that is wrong with files.

        The status is 1 if anything is.
        """
        with failures_reported():
            checked = loaders.files().check_files(config_dir, file)
            if json:
                show_json({"files": [_checked(found) for found in checked]})
            else:
                for found in checked:
                    _tell_checked(found)
            if any(found.problems for found in checked):
                raise typer.Exit(ExitStatus.FAILURE)

    @app.command("migrate")
    def migrate(
        file: File = None,
        config_dir: ConfigDir = DEFAULT_CONFIG_DIR,
        *,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be changed, and change nothing.")
        ] = False,
        json: Json = False,
    ) -> None:
        """Bring files of older versions up to date.

        The old text stays beside each as .bak.
        """
        with failures_reported():
            migrations = loaders.files().migrate_files(config_dir, file, dry_run=dry_run)
            if json:
                show_json({"files": [_migration(migration) for migration in migrations]})
            else:
                for migration in migrations:
                    _tell_migration(migration)

    return app


def _tell_checked(found: CheckedFile) -> None:
    for sentence in (*found.problems, *found.remarks):
        complain(sentence.rstrip("."))
    if not found.problems:
        typer.echo(f"{visible(found.file)} is a valid {found.role} configuration")


def _tell_migration(migration: Migration) -> None:
    file = visible(migration.file)
    if not migration.changes:
        typer.echo(f"{file} is up to date")
        return
    typer.echo(f"{file} {'would change' if migration.backup is None else 'was changed'}:")
    for change in migration.changes:
        typer.echo(f"  {visible(change)}")
    if migration.backup is not None:
        typer.echo(f"the text from before is in {visible(migration.backup)}")


def _checked(found: CheckedFile) -> dict[str, object]:
    return {
        "file": found.file,
        "role": found.role,
        "valid": not found.problems,
        "problems": list(found.problems),
        "remarks": list(found.remarks),
    }


def _migration(migration: Migration) -> dict[str, object]:
    return {"file": migration.file, "changes": list(migration.changes), "backup": migration.backup}
