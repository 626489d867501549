"""The entry point: ``tungo`` and ``python -m tungo``."""

from typing import Final

from presentation.cli.administration import ClientConfigurationCommands, FileCommands, PeerCommands
from presentation.cli.app import build_app
from presentation.cli.commands import Commands, DoctorCommands, Loaders
from tungo import __version__


def main() -> None:
    """Run the command line of this process; leaves through SystemExit."""
    build_app(LOADERS, __version__)(prog_name="tungo")


def _load_commands() -> Commands:
    from tungo.commands import ContainerCommands  # noqa: PLC0415 - the container and all behind it load slowly

    return ContainerCommands()


def _load_peers() -> PeerCommands:
    from tungo.peers import ServerPeerCommands  # noqa: PLC0415 - needs cryptography and pydantic

    return ServerPeerCommands()


def _load_configurations() -> ClientConfigurationCommands:
    from tungo.configurations import StoredConfigurationCommands  # noqa: PLC0415 - as above

    return StoredConfigurationCommands()


def _load_files() -> FileCommands:
    from tungo.files import ConfigurationFileCommands  # noqa: PLC0415 - as above

    return ConfigurationFileCommands()


def _load_doctor() -> DoctorCommands:
    from tungo.doctor import HostDoctorCommands  # noqa: PLC0415 - as above

    return HostDoctorCommands()


LOADERS: Final = Loaders(
    tunnel=_load_commands,
    peers=_load_peers,
    configurations=_load_configurations,
    files=_load_files,
    doctor=_load_doctor,
)


if __name__ == "__main__":
    main()
