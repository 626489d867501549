"""What the command line can ask the program to do: the port between the CLI and the composition root.

Nothing heavy is imported here, so that ``tungo version`` and ``tungo --help`` stay quick.

Errors::

    CommandError     one sentence for the user and the exit status that goes with it
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Protocol

from application.diagnosis.finding import Examined
from application.runtime.log import LogFormat, LogLevel
from presentation.cli.administration import ClientConfigurationCommands, FileCommands, PeerCommands


class ExitStatus(IntEnum):
    """How the program ends."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NO_RIGHTS = 77  # EX_NOPERM of sysexits.h


class Role(Enum):
    """The ends of a tunnel that can have changed this host."""

    CLIENT = "client"
    SERVER = "server"


class CommandError(Exception):
    """A command failed; the text is one sentence that a user can act on, without a full stop."""

    def __init__(self, message: str, exit_code: int = ExitStatus.FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What became of the changes that killed processes have left behind, in words without a full stop.

    ``undone`` and ``failed`` name a change each, ``failed`` with the reason; ``running`` are sentences about
    processes that run and were left alone.
    """

    undone: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    running: tuple[str, ...] = ()


class Commands(Protocol):
    """The use cases behind the command line. Every method raises CommandError and nothing else on purpose."""

    def run_server(self, config_dir: str, log_level: LogLevel, log_format: LogFormat) -> None:
        """Serve until a shutdown signal; returning means a clean end."""
        ...

    def run_client(
        self, config_dir: str, log_level: LogLevel, log_format: LogFormat, *, kill_switch: bool
    ) -> None:
        """Keep the tunnel up until a shutdown signal; returning means a clean end.

        ``kill_switch`` switches the kill switch on even if the configuration does not.
        """
        ...

    def clean_up(self, role: Role) -> CleanUp:
        """Take back what killed processes of ``role`` have left on this host. It needs no configuration."""
        ...

    def unlock(self) -> bool:
        """Switch the kill switch off; False if it was not on."""
        ...


class DoctorCommands(Protocol):
    """Looking at the host; raises CommandError and nothing else on purpose."""

    def diagnose(self, config_dir: str) -> Sequence[Examined]:
        """What was looked at, for what is configured in the folder; never empty."""
        ...


@dataclass(frozen=True, slots=True)
class Loaders:
    """How the command line gets what it runs.

    Each is called only when a command needs it: what stands behind them takes a while to load.
    """

    tunnel: Callable[[], Commands]
    peers: Callable[[], PeerCommands]
    configurations: Callable[[], ClientConfigurationCommands]
    files: Callable[[], FileCommands]
    doctor: Callable[[], DoctorCommands]
