"""``tungo client configs`` and its sub-commands, and ``tungo client keygen``."""

import sys
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from presentation.cli.administration import Addition, ConfigurationView
from presentation.cli.commands import CommandError, ExitStatus, Loaders
from presentation.cli.folder import OwnConfigDir, chosen_folder
from presentation.cli.output import Json, show_json, show_pairs, show_rows
from presentation.cli.report import complain, failures_reported, visible
from presentation.cli.secret_file import reserved_file

CONFIGS_EPILOG: Final = """\b
Examples:
  tungo client configs add laptop.json            keep it as 'laptop'; the first is active at once
  tungo client configs add - --name work          the same from standard input
  tungo client configs add tungo://AbC... --name home
  tungo client configs use home                   connect with it from the next start on

\b
They are kept beside the active one, as client_configuration.json.NAME."""

KEYGEN_EPILOG: Final = """\b
Examples, with a private key that never leaves the client:
  client$ tungo client keygen                         prints the public key
  server$ tungo server gen --client-key PUB > c.json  which is no secret: bring c.json to the client
  client$ tungo client configs add c.json             joins it with the private key"""

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]


def configs_app(loaders: Loaders) -> typer.Typer:
    """The group ``configs`` over the commands that ``loaders`` loads."""
    app = typer.Typer(
        help="Keep several configurations and choose the one to connect with.",
        epilog=CONFIGS_EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    _add_looks(app, loaders)
    _add_addition(app, loaders)
    _add_changes(app, loaders)
    return app


def add_keygen(app: typer.Typer, loaders: Loaders) -> None:
    """The command ``keygen`` of the group ``client``."""

    @app.command("keygen", epilog=KEYGEN_EPILOG)
    def keygen(
        context: typer.Context,
        config_dir: OwnConfigDir = None,
        output: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help="A new file for the private key; otherwise client.key beside the configuration.",
            ),
        ] = None,
    ) -> None:
        """Make keys for a client: the private one goes to a file (mode 0600), the public one is printed."""
        with failures_reported():
            key = loaders.configurations().new_client_key(chosen_folder(context, config_dir))
            if output is None:
                _make_folder(key.usual_file.parent)
            file = output or key.usual_file
            with reserved_file(file) as write:
                write(key.private + "\n")
            typer.echo(key.public)
            complain(f"the private key is in {file}")


def _add_looks(app: typer.Typer, loaders: Loaders) -> None:
    @app.command("list")
    def list_configurations(
        context: typer.Context, config_dir: OwnConfigDir = None, *, json: Json = False
    ) -> None:
        """List all configurations; the active one has a star."""
        with failures_reported():
            found = loaders.configurations().configurations(chosen_folder(context, config_dir))
            if json:
                show_json({"configurations": [_summary(view) for view in found]})
            elif found:
                show_rows(("", "NAME", "NUMBER", "PROTOCOL", "SERVER"), [_row(view) for view in found])
            else:
                typer.echo("there are no configurations; 'tungo client configs add' keeps one")
            for view in found if not json else ():
                for problem in view.problems:
                    complain(problem)

    @app.command("show")
    def show(
        context: typer.Context,
        name: Annotated[
            str | None, typer.Argument(metavar="[NAME]", help="Otherwise the active one.")
        ] = None,
        config_dir: OwnConfigDir = None,
        *,
        json: Json = False,
    ) -> None:
        """Show one configuration without its private key."""
        with failures_reported():
            view = loaders.configurations().configuration(chosen_folder(context, config_dir), name)
            if json:
                show_json({**_summary(view), "configuration": view.document})
            elif not view.problems:
                show_pairs(_pairs(view))
            if view.problems:
                raise CommandError("\n".join(view.problems))


def _add_addition(app: typer.Typer, loaders: Loaders) -> None:
    @app.command("add")
    def add(
        context: typer.Context,
        source: Annotated[
            str, typer.Argument(metavar="SOURCE", help="A file, - for standard input, or a link tungo://...")
        ],
        name: Annotated[
            str | None,
            typer.Option(metavar="NAME", help="What to call it; otherwise as the file or the server."),
        ] = None,
        key: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Where its private key is, if it is not in it."),
        ] = None,
        config_dir: OwnConfigDir = None,
        *,
        replace: Annotated[
            bool, typer.Option("--replace", help="In the place of one that has the name.")
        ] = False,
        use: Annotated[bool, typer.Option("--use", help="Make it the active one, too.")] = False,
    ) -> None:
        """Keep a configuration, if it is valid."""
        with failures_reported():
            folder = chosen_folder(context, config_dir)
            commands = loaders.configurations()
            addition = Addition(source, name, key, replaces=replace)
            kept = commands.add_configuration(folder, addition, _read_standard_input)
            typer.echo(f"kept as {visible(kept.name)}")
            if use and not kept.active:
                _tell_use(kept.name, commands.use_configuration(folder, kept.name))
            elif kept.active:
                typer.echo(f"{visible(kept.name)} is the active configuration")


def _add_changes(app: typer.Typer, loaders: Loaders) -> None:
    @app.command("use")
    def use(context: typer.Context, name: Name, config_dir: OwnConfigDir = None) -> None:
        """Make a configuration the active one, if it is valid."""
        with failures_reported():
            folder = chosen_folder(context, config_dir)
            _tell_use(name, loaders.configurations().use_configuration(folder, name))

    @app.command("rename")
    def rename(
        context: typer.Context,
        name: Name,
        new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="What to call it from now on.")],
        config_dir: OwnConfigDir = None,
    ) -> None:
        """Give a configuration another name."""
        with failures_reported():
            folder = chosen_folder(context, config_dir)
            loaders.configurations().rename_configuration(folder, name, new_name)
            typer.echo(f"{visible(name)} is called {visible(new_name)} now")

    @app.command("remove")
    def remove(
        context: typer.Context,
        name: Name,
        config_dir: OwnConfigDir = None,
        *,
        force: Annotated[
            bool, typer.Option("--force", help="Even the active one, after which there is none.")
        ] = False,
    ) -> None:
        """Forget a configuration, private key and all."""
        with failures_reported():
            folder = chosen_folder(context, config_dir)
            loaders.configurations().remove_configuration(folder, name, even_active=force)
            typer.echo(f"{visible(name)} is removed")


def _tell_use(name: str, kept_before: str | None) -> None:
    typer.echo(f"{visible(name)} is the active configuration")
    if kept_before is not None:
        complain(f"the one that was active before had no name and is kept as {kept_before}")


def _read_standard_input(most_bytes: int) -> bytes:
    return sys.stdin.buffer.read(most_bytes)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        status = ExitStatus.NO_RIGHTS if isinstance(error, PermissionError) else ExitStatus.FAILURE
        raise CommandError(f"{folder} cannot be made: {error.strerror}", status) from error


def _summary(view: ConfigurationView) -> dict[str, object]:
    return {
        "name": view.name,
        "active": view.active,
        "valid": not view.problems,
        "problems": list(view.problems),
        "number": view.number,
        "protocols": list(view.protocols),
        "servers": list(view.servers),
        "addresses": list(view.addresses),
    }


def _row(view: ConfigurationView) -> tuple[str, str, str, str, str]:
    mark = "*" if view.active else ""
    name = "(without a name)" if view.name is None else view.name
    if view.problems:
        return mark, name, "", "", "not valid"
    return mark, name, str(view.number), view.protocols[0], view.servers[0]


def _pairs(view: ConfigurationView) -> list[tuple[str, str]]:
    document = view.document
    pairs = [
        ("name", "" if view.name is None else view.name),
        ("active", "yes" if view.active else "no"),
        ("number", str(view.number)),
        ("addresses", ", ".join(view.addresses)),
    ]
    pairs += ((protocol, server) for protocol, server in zip(view.protocols, view.servers, strict=True))
    pairs += [
        ("server key", str(document.get("X25519PublicKey"))),
        ("public key", str(document.get("ClientPublicKey"))),
        ("private key", str(document.get("ClientPrivateKey"))),
    ]
    return pairs
