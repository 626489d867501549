"""``tungo server`` and its sub-commands."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from application.runtime.log import LogLevel
from domain.settings.profile import TransportProtocol
from presentation.cli.commands import CommandError, Commands, GeneratedClient, Role
from presentation.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Level, tell
from presentation.cli.report import complain, failures_reported
from presentation.cli.secret_file import reserved_file

SERVER_EPILOG: Final = """\b
Examples:
  tungo server                            run until Ctrl-C, SIGTERM or SIGHUP
  tungo server --config-dir ./lab         the same, with ./lab/server_configuration.json
  tungo server gen                        admit a client, its configuration on standard output
  tungo server cleanup                    take back what a killed server has left on this host"""

GEN_EPILOG: Final = """\b
Examples:
  tungo server gen --host vpn.example.org --output laptop.json
  tungo server gen --name phone | ssh phone 'umask 077; cat > client_configuration.json'
  tungo server gen --protocol wss         for a network that lets nothing but HTTPS through"""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What was given to ``server`` itself; its sub-commands fall back to it."""

    config_dir: str


def server_app(load_commands: Callable[[], Commands]) -> typer.Typer:
    """The group ``server`` over the commands that ``load_commands`` returns."""
    app = typer.Typer(
        help="Run the server until a shutdown signal (alias: s).",
        epilog=SERVER_EPILOG,
        invoke_without_command=True,
        rich_markup_mode=None,
    )

    @app.callback()
    def server(
        context: typer.Context,
        config_dir: ConfigDir = DEFAULT_CONFIG_DIR,
        log_level: Level = LogLevel.INFO,
    ) -> None:
        if context.invoked_subcommand is None:
            with failures_reported():
                load_commands().run_server(config_dir, log_level)
        else:
            context.obj = ServerOptions(config_dir)

    @app.command("gen", epilog=GEN_EPILOG)
    def gen(
        context: typer.Context,
        config_dir: Annotated[
            str | None,
            typer.Option(metavar="DIR", help="Where the configuration is, as for the server itself."),
        ] = None,
        host: Annotated[
            str | None,
            typer.Option(metavar="HOST", help="The address or name that the client connects to."),
        ] = None,
        name: Annotated[str | None, typer.Option(metavar="NAME", help="A label for the client.")] = None,
        protocol: Annotated[
            TransportProtocol | None,
            typer.Option(
                metavar="[udp|tcp|ws|wss]",
                case_sensitive=False,
                help="What the client connects with; it falls back to what else is enabled.",
            ),
        ] = None,
        output: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="A new file (mode 0600) instead of standard output."),
        ] = None,
    ) -> None:
        """Admit a client and write its configuration, private key included."""
        options = context.find_object(ServerOptions)
        folder = config_dir or (options.config_dir if options is not None else DEFAULT_CONFIG_DIR)
        with failures_reported():
            commands = load_commands()
            _generate(lambda: commands.generate_client(folder, host, name, protocol), output)

    @app.command("cleanup")
    def cleanup() -> None:
        """Take back what killed servers have left on this host."""
        with failures_reported():
            tell(load_commands().clean_up(Role.SERVER))

    return app


def _generate(generate: Callable[[], GeneratedClient], output: Path | None) -> None:
    if output is None:
        generated = generate()
        typer.echo(generated.json)
    else:
        with reserved_file(output) as write:
            generated = generate()
            _store(generated, write)
    for note in generated.notes:
        complain(note)
    if output is not None:
        complain(f"client {generated.client_id} is in {output}")


def _store(generated: GeneratedClient, write: Callable[[str], None]) -> None:
    try:
        write(generated.json + "\n")
    except CommandError as error:
        raise CommandError(
            f"client {generated.client_id} was admitted, but {error}; remove it from the access list",
            error.exit_code,
        ) from error
