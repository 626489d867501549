"""``tungo client`` and its sub-commands."""

from typing import Annotated, Final

import typer

from application.runtime.log import LogFormat, LogLevel
from presentation.cli.commands import Loaders, Role
from presentation.cli.configs import add_keygen, configs_app
from presentation.cli.folder import ChosenFolder
from presentation.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Format, Level, tell
from presentation.cli.report import failures_reported

CLIENT_EPILOG: Final = """\b
Examples:
  tungo client                            run until Ctrl-C, SIGTERM or SIGHUP
  tungo client --kill-switch              the same; and whatever happens, nothing leaves beside the tunnel
  tungo client configs list               see the configurations there are
  tungo client unlock                     switch the kill switch off
  tungo client cleanup                    take back what a killed client has left on this host"""


def client_app(loaders: Loaders) -> typer.Typer:
    """The group ``client`` over the commands that ``loaders`` loads."""
    app = typer.Typer(
        help="Run the client until a shutdown signal (alias: c).",
        epilog=CLIENT_EPILOG,
        invoke_without_command=True,
        rich_markup_mode=None,
    )
    app.add_typer(configs_app(loaders), name="configs")
    add_keygen(app, loaders)

    @app.callback()
    def client(
        context: typer.Context,
        config_dir: ConfigDir = DEFAULT_CONFIG_DIR,
        log_level: Level = LogLevel.INFO,
        log_format: Format = LogFormat.AUTO,
        *,
        kill_switch: Annotated[
            bool, typer.Option("--kill-switch", help="As if the configuration said KillSwitch.")
        ] = False,
    ) -> None:
        if context.invoked_subcommand is None:
            with failures_reported():
                loaders.tunnel().run_client(config_dir, log_level, log_format, kill_switch=kill_switch)
        else:
            context.obj = ChosenFolder(config_dir)

    @app.command("cleanup")
    def cleanup() -> None:
        """Take back what killed clients have left on this host; a kill switch stays on."""
        with failures_reported():
            tell(loaders.tunnel().clean_up(Role.CLIENT))

    @app.command("unlock")
    def unlock() -> None:
        """Switch the kill switch off: programs reach the network without a tunnel again."""
        with failures_reported():
            was_on = loaders.tunnel().unlock()
            typer.echo("the kill switch is off" if was_on else "the kill switch was not on")

    return app
