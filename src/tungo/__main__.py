"""The entry point: ``tungo`` and ``python -m tungo``."""

from presentation.cli.app import build_app
from presentation.cli.commands import Commands
from tungo import __version__


def main() -> None:
    """Run the command line of this process; leaves through SystemExit."""
    build_app(_load_commands, __version__)(prog_name="tungo")


def _load_commands() -> Commands:
    from tungo.commands import ContainerCommands  # noqa: PLC0415 - the container and all behind it load slowly

    return ContainerCommands()


if __name__ == "__main__":
    main()
