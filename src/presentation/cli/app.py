"""The commands, their options and their help texts (platform specification 13)."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from application.runtime.log import LogLevel
from presentation.cli.commands import CommandError, Commands, GeneratedClient
from presentation.cli.report import complain, failures_reported
from presentation.cli.secret_file import reserved_file

DEFAULT_CONFIG_DIR: Final = "/etc/tungo"
CONFIG_DIR_VARIABLE: Final = "TUNGO_CONFIG_DIR"

# What the demo's transfer moves unless told otherwise; the receiver holds it in memory.
DEFAULT_DEMO_MIB: Final = 256
LARGEST_DEMO_MIB: Final = 4096

PROGRAM_EPILOG: Final = """\b
Examples:
  tungo demo                              see a tunnel work, on this machine alone
  tungo server gen --output client.json   admit a client
  tungo server                            serve
  tungo client                            connect with /etc/tungo/client_configuration.json

\b
Exit status: 0 it worked, 1 it failed, 2 wrong usage.
TUNGO_DEBUG=1 shows the traceback of a failure."""

SERVER_EPILOG: Final = """\b
Examples:
  tungo server                            run until Ctrl-C, SIGTERM or SIGHUP
  tungo server --config-dir ./lab         the same, with ./lab/server_configuration.json
  tungo server gen                        admit a client, its configuration on standard output"""

GEN_EPILOG: Final = """\b
Examples:
  tungo server gen --host vpn.example.org --output laptop.json
  tungo server gen --name phone | ssh phone 'umask 077; cat > client_configuration.json'"""

DEMO_EPILOG: Final = """\b
Everything happens in network namespaces and a temporary folder, and is removed afterwards.
It needs root or a kernel that allows user namespaces, /dev/net/tun, and the commands ip, nft and ping."""


class DemoTransport(StrEnum):
    """The transports that the demo can show."""

    UDP = "udp"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What was given to ``server`` itself; its sub-commands fall back to it."""

    config_dir: str


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


def build_app(load_commands: Callable[[], Commands], version: str) -> typer.Typer:
    """The command line over the commands that ``load_commands`` returns.

    ``load_commands`` is called only when a command needs it: the tunnel takes a while to load.
    """
    app = typer.Typer(
        name="tungo",
        help="A VPN that speaks the TunGo protocol.",
        epilog=PROGRAM_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    server = _server_app(load_commands)
    app.add_typer(server, name="server")
    app.add_typer(server, name="s", hidden=True)

    def client(config_dir: ConfigDir = DEFAULT_CONFIG_DIR, log_level: Level = LogLevel.INFO) -> None:
        """Run the client until a shutdown signal (alias: c)."""
        with failures_reported():
            load_commands().run_client(config_dir, log_level)

    app.command("client")(client)
    app.command("c", hidden=True)(client)

    @app.command("version")
    def show_version() -> None:
        """Print name and version."""
        typer.echo(f"tungo {version}")

    @app.command("demo", epilog=DEMO_EPILOG)
    def demo(
        size: Annotated[
            int, typer.Option(min=1, max=LARGEST_DEMO_MIB, metavar="MIB", help="How much to transfer.")
        ] = DEFAULT_DEMO_MIB,
        transport: Annotated[
            DemoTransport, typer.Option(help="What carries the tunnel.")
        ] = DemoTransport.UDP,
    ) -> None:
        """See a tunnel built, used, measured and removed."""
        with failures_reported():
            _demo(size, transport)

    return app


def _server_app(load_commands: Callable[[], Commands]) -> typer.Typer:
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
        output: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="A new file (mode 0600) instead of standard output."),
        ] = None,
    ) -> None:
        """Admit a client and write its configuration, private key included."""
        options = context.find_object(ServerOptions)
        folder = config_dir or (options.config_dir if options is not None else DEFAULT_CONFIG_DIR)
        with failures_reported():
            _generate(load_commands(), folder, host, name, output)

    return app


def _generate(
    commands: Commands, config_dir: str, host: str | None, name: str | None, output: Path | None
) -> None:
    if output is None:
        generated = commands.generate_client(config_dir, host, name)
        typer.echo(generated.json)
    else:
        with reserved_file(output) as write:
            generated = commands.generate_client(config_dir, host, name)
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


def _demo(size_mib: int, transport: DemoTransport) -> None:
    # The demo's modules are of no use to any other command.
    from presentation.demo.errors import DemoError  # noqa: PLC0415
    from presentation.demo.story import tell  # noqa: PLC0415

    try:
        tell(size_mib, transport.value)
    except DemoError as error:
        message = f"{error}; {error.advice}" if error.advice else str(error)
        raise CommandError(message) from error
