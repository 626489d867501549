"""What the command line can ask about peers and configuration files: ports to the composition root.

They are apart from ``Commands`` so that looking at a file does not load the tunnel. Every method raises
CommandError and nothing else on purpose.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from domain.settings.profile import TransportProtocol

# A configuration file as JSON.
Document: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Wish:
    """How a client's configuration is wanted.

    ``host`` is what the client connects to, None for what the server's configuration or the machine's own
    addresses say; ``protocol`` is what it connects with, None for the best that the server has enabled;
    ``client_key`` is the public key, in base64, of a client that keeps its private key to itself, None to
    have a pair made.
    """

    host: str | None = None
    protocol: TransportProtocol | None = None
    client_key: str | None = None


@dataclass(frozen=True, slots=True)
class GeneratedClient:
    """A client that the server has just admitted."""

    json: str = field(repr=False)  # the whole client configuration, as a rule with the private key
    client_id: int
    notes: tuple[str, ...] = ()  # sentences for the person who ran the command, not part of the configuration
    link: str = field(default="", repr=False)  # the configuration as one line, tungo://...
    holds_private_key: bool = True


@dataclass(frozen=True, slots=True)
class PeerView:
    """A peer of a server; the key in base64, the addresses by the transport that they belong to."""

    number: int
    name: str
    enabled: bool
    public_key: str
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class PeerCommands(Protocol):
    """A server's peers. ``which`` is a number or a name."""

    def generate_client(self, config_dir: str, wish: Wish, name: str | None) -> GeneratedClient:
        """Admit one more client; ``name`` labels the peer, None for ``client-<number>``."""
        ...

    def regenerate_client(self, config_dir: str, wish: Wish, which: str) -> GeneratedClient:
        """Give a peer new keys; number and name stay."""
        ...

    def peers(self, config_dir: str) -> tuple[PeerView, ...]:
        """All of them, by number."""
        ...

    def peer(self, config_dir: str, which: str) -> PeerView:
        """One of them."""
        ...

    def rename_peer(self, config_dir: str, which: str, name: str) -> PeerView:
        """The peer under its new name."""
        ...

    def enable_peer(self, config_dir: str, which: str, *, enabled: bool) -> PeerView:
        """The peer as it is now."""
        ...

    def remove_peer(self, config_dir: str, which: str) -> PeerView:
        """The peer that is no more."""
        ...


@dataclass(frozen=True, slots=True)
class ConfigurationView:
    """A client configuration. ``name`` is None for an active one that is kept under no name.

    Of one that is not valid, which is one with ``problems``, the rest is empty.
    """

    name: str | None
    active: bool
    problems: tuple[str, ...] = ()
    number: int | None = None
    protocols: tuple[str, ...] = ()  # the best first
    servers: tuple[str, ...] = ()  # where each of them connects to, with the port
    addresses: tuple[str, ...] = ()  # the client's own, in the tunnel of the best
    document: Document = field(default_factory=dict)  # without the private key


@dataclass(frozen=True, slots=True)
class Addition:
    """A configuration to keep: ``source`` is a file, a link, or ``-`` for standard input.

    ``name`` None is the file's or the server's. ``key_file`` holds the private key that is not in it.
    """

    source: str
    name: str | None = None
    key_file: Path | None = None
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """Under which name a configuration is kept, and whether it is active now."""

    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh key pair in base64; where its file belongs unless told otherwise."""

    private: str = field(repr=False)
    public: str
    usual_file: Path


class ClientConfigurationCommands(Protocol):
    """The configurations that a client can connect with; one of them is active."""

    def new_client_key(self, config_dir: str) -> NewKey:
        """Keys for a client that does not let the server make them. Nothing is stored."""
        ...

    def configurations(self, config_dir: str) -> tuple[ConfigurationView, ...]:
        """All of them, valid or not."""
        ...

    def configuration(self, config_dir: str, name: str | None) -> ConfigurationView:
        """One of them, None for the active one."""
        ...

    def add_configuration(
        self, config_dir: str, addition: Addition, read_standard_input: Callable[[int], bytes]
    ) -> Kept:
        """Keep one more; the first becomes active."""
        ...

    def use_configuration(self, config_dir: str, name: str) -> str | None:
        """Make it the active one.

        Returns the name that the one before is kept under from now on; None if it had one, or there was none.
        """
        ...

    def rename_configuration(self, config_dir: str, name: str, new_name: str) -> None:
        """Keep it under another name."""
        ...

    def remove_configuration(self, config_dir: str, name: str, *, even_active: bool) -> None:
        """Forget it, keys and all."""
        ...


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What is wrong with a file, and what is odd, in sentences."""

    file: str
    role: str  # "server" or "client", or "unknown" if it is neither
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Migration:
    """What bringing a file up to date changes: sentences, none if it is. ``backup`` is None while dry."""

    file: str
    changes: tuple[str, ...]
    backup: str | None = None


class FileCommands(Protocol):
    """Configuration files of either kind. ``file`` None is every one that is in the folder."""

    def check_files(self, config_dir: str, file: Path | None) -> tuple[CheckedFile, ...]:
        """Look at everything in them; changes nothing."""
        ...

    def migrate_files(self, config_dir: str, file: Path | None, *, dry_run: bool) -> tuple[Migration, ...]:
        """Bring files of older versions up to date."""
        ...
