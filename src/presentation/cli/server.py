"""``tungo server`` and its sub-commands."""

from typing import Annotated, Final

import typer

from application.runtime.log import LogFormat, LogLevel
from presentation.cli.administration import Wish
from presentation.cli.commands import Loaders, Role
from presentation.cli.folder import ChosenFolder, OwnConfigDir, chosen_folder
from presentation.cli.issuing import (
    ClientKeyOption,
    Destination,
    HostOption,
    OutputOption,
    ProtocolOption,
    QrOption,
    issue,
)
from presentation.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Format, Level, tell
from presentation.cli.peers import peers_app
from presentation.cli.report import failures_reported

SERVER_EPILOG: Final = """\b
Examples:
  tungo server                            run until Ctrl-C, SIGTERM or SIGHUP
  tungo server --config-dir ./lab         the same, with ./lab/server_configuration.json
  tungo server gen                        admit a client, its configuration on standard output
  tungo server peers list                 see who may connect
  tungo server cleanup                    take back what a killed server has left on this host"""

GEN_EPILOG: Final = """\b
Examples:
  tungo server gen --host vpn.example.org --output laptop.json
  tungo server gen --name phone | ssh phone 'umask 077; cat > client_configuration.json'
  tungo server gen --protocol wss         for a network that lets nothing but HTTPS through
  tungo server gen --qr                   as a QR code, and as a link for 'tungo client configs add'"""


def server_app(loaders: Loaders) -> typer.Typer:
    """The group ``server`` over the commands that ``loaders`` loads."""
    app = typer.Typer(
        help="Run the server until a shutdown signal (alias: s).",
        epilog=SERVER_EPILOG,
        invoke_without_command=True,
        rich_markup_mode=None,
    )
    app.add_typer(peers_app(loaders), name="peers")

    @app.callback()
    def server(
        context: typer.Context,
        config_dir: ConfigDir = DEFAULT_CONFIG_DIR,
        log_level: Level = LogLevel.INFO,
        log_format: Format = LogFormat.AUTO,
    ) -> None:
        if context.invoked_subcommand is None:
            with failures_reported():
                loaders.tunnel().run_server(config_dir, log_level, log_format)
        else:
            context.obj = ChosenFolder(config_dir)

    @app.command("gen", epilog=GEN_EPILOG)
    def gen(
        context: typer.Context,
        config_dir: OwnConfigDir = None,
        host: HostOption = None,
        name: Annotated[str | None, typer.Option(metavar="NAME", help="A label for the client.")] = None,
        protocol: ProtocolOption = None,
        client_key: ClientKeyOption = None,
        output: OutputOption = None,
        *,
        qr: QrOption = False,
    ) -> None:
        """Admit a client and write its configuration, private key included."""
        with failures_reported():
            folder, wish = chosen_folder(context, config_dir), Wish(host, protocol, client_key)
            peers = loaders.peers()
            issue(lambda: peers.generate_client(folder, wish, name), Destination(output, qr))

    @app.command("cleanup")
    def cleanup() -> None:
        """Take back what killed servers have left on this host."""
        with failures_reported():
            tell(loaders.tunnel().clean_up(Role.SERVER))

    return app
