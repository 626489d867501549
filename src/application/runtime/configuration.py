"""The server's configuration and the host's own address, as ports.

Errors::

    ConfigurationError               the text has one sentence per problem and never holds a key
    ├── ConfigurationMissingError    there is no configuration yet
    └── ConfigurationForbiddenError  this process may not read or write it (also a MissingRightsError)

    HostUnknownError                 no address of this host could be detected
"""

from collections.abc import Callable
from typing import Protocol

from application.runtime.rights import MissingRightsError
from domain.settings.profile import ServerAddress
from domain.settings.server import ServerSettings


class ConfigurationError(Exception):
    """A configuration cannot be read, is not valid, or cannot be written.

    ``sentences`` is never empty; each names the file, and where there is one the place in it, what is
    there and what is expected.
    """

    def __init__(self, *sentences: str) -> None:
        self.sentences = sentences
        super().__init__("\n".join(sentences))


class ConfigurationMissingError(ConfigurationError):
    """There is no configuration yet; the text says how to get one."""


class ConfigurationForbiddenError(ConfigurationError, MissingRightsError):
    """This process lacks the right to the configuration."""


class HostUnknownError(Exception):
    """The host has no address that leads out; the text quotes the reasons."""


class ServerConfiguration(Protocol):
    """Where a server's settings live. What it returns is valid, what it keeps is valid."""

    def load(self) -> ServerSettings:
        """The settings as they are now.

        Changes nothing, so that a running server never creates defaults: a vanished configuration is
        a ConfigurationMissingError. Raises ConfigurationError.
        """
        ...

    def load_or_create(self) -> ServerSettings:
        """The settings; where there are none yet, those of a fresh server, kept from now on.

        For commands, before the server runs. Also takes back access rights that others have to the
        private key. Raises ConfigurationError.
        """
        ...

    def update(self, change: Callable[[ServerSettings], ServerSettings]) -> ServerSettings:
        """Replace the settings by ``change`` of the present ones; returns the new ones.

        Reading, changing, checking and replacing are one operation: of two updates at the same moment the
        second sees the first's result. ``change`` should be quick, for others wait. If it raises, or its
        result is not valid, or the replacement fails, the old settings stay. Raises ConfigurationError,
        ConfigurationMissingError, and whatever ``change`` raises.
        """
        ...


class HostDetection(Protocol):
    """Finds the addresses by which this host reaches the Internet."""

    def detect_host(self) -> ServerAddress:
        """The local addresses of the routes out, IPv4 and IPv6 as far as there are any; sends nothing.

        Behind NAT they are private and of no use to clients outside: the caller warns. Raises
        HostUnknownError if there is no route in either family.
        """
        ...


class ConfigurationChanges(Protocol):
    """Tells when the stored configuration may have changed."""

    async def wait(self) -> None:
        """Return at the first change since the previous call returned, or since this object was made.

        Several changes in a short time may be reported once; never none. A configuration that vanishes or
        comes back has changed. Cancelling loses nothing.
        """
        ...
