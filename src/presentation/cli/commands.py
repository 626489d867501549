"""What the command line can ask the program to do: the port between the CLI and the composition root.

Nothing heavy is imported here, so that ``tungo version`` and ``tungo --help`` stay quick.

Errors::

    CommandError     one sentence for the user and the exit status that goes with it
"""

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Protocol

from application.runtime.log import LogLevel
from domain.settings.profile import TransportProtocol


class ExitStatus(IntEnum):
    """How the program ends."""

    OK = 0
    FAILURE = 1
    USAGE = 2


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
class GeneratedClient:
    """A client that the server has just admitted."""

    json: str = field(repr=False)  # the whole client configuration, private key included
    client_id: int
    notes: tuple[str, ...] = ()  # sentences for the person who ran the command, not part of the configuration


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

    def run_server(self, config_dir: str, log_level: LogLevel) -> None:
        """Serve until a shutdown signal; returning means a clean end."""
        ...

    def run_client(self, config_dir: str, log_level: LogLevel, *, kill_switch: bool) -> None:
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

    def generate_client(
        self, config_dir: str, host: str | None, name: str | None, protocol: TransportProtocol | None
    ) -> GeneratedClient:
        """Admit one more client to the server of ``config_dir``.

        ``host`` is what the client shall connect to, None for what the server's configuration or the
        machine's own addresses say; ``name`` labels the peer, None for ``client-<number>``; ``protocol`` is
        what the client shall connect with, None for the best that the server has enabled.
        """
        ...
