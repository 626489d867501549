"""The commands, their options and their help texts (platform specification 13)."""

from enum import StrEnum
from typing import Annotated, Final

import typer

from presentation.cli.client import client_app
from presentation.cli.commands import CommandError, Loaders
from presentation.cli.completion import add_completion, is_asked_for_completion
from presentation.cli.config import config_app
from presentation.cli.doctor import add_doctor
from presentation.cli.report import failures_reported
from presentation.cli.server import server_app

# What the demo's transfer moves unless told otherwise; the receiver holds it in memory.
DEFAULT_DEMO_MIB: Final = 256
LARGEST_DEMO_MIB: Final = 4096

PROGRAM_EPILOG: Final = """\b
Examples:
  tungo demo                              see a tunnel work, on this machine alone
  tungo server gen --output client.json   admit a client
  tungo server                            serve
  tungo client configs add client.json    keep a configuration; the first is the one to connect with
  tungo client                            connect with /etc/tungo/client_configuration.json

\b
Exit status: 0 it worked, 1 it failed, 2 wrong usage, 77 rights are missing (mostly: run it as root).
TUNGO_DEBUG=1 shows the traceback of a failure."""

DEMO_EPILOG: Final = """\b
Everything happens in network namespaces and a temporary folder, and is removed afterwards.
It needs root or a kernel that allows user namespaces, /dev/net/tun, and the commands ip, nft and ping."""


class DemoTransport(StrEnum):
    """The transports that the demo can show."""

    UDP = "udp"
    TCP = "tcp"
    WS = "ws"
    WSS = "wss"


def build_app(loaders: Loaders, version: str) -> typer.Typer:
    """The command line over the commands that ``loaders`` loads."""
    app = typer.Typer(
        name="tungo",
        help="A VPN that speaks the TunGo protocol.",
        epilog=PROGRAM_EPILOG,
        no_args_is_help=True,
        add_completion=is_asked_for_completion(),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for name, alias, group in (
        ("server", "s", server_app(loaders)),
        ("client", "c", client_app(loaders)),
    ):
        app.add_typer(group, name=name)
        app.add_typer(group, name=alias, hidden=True)
    app.add_typer(config_app(loaders), name="config")
    add_doctor(app, loaders)
    add_completion(app, lambda: build_app(loaders, version))

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


def _demo(size_mib: int, transport: DemoTransport) -> None:
    # The demo's modules are of no use to any other command.
    from presentation.demo.errors import DemoError  # noqa: PLC0415
    from presentation.demo.story import tell  # noqa: PLC0415

    try:
        tell(size_mib, transport.value)
    except DemoError as error:
        message = f"{error}; {error.advice}" if error.advice else str(error)
        raise CommandError(message) from error
