"""A server's configuration in memory, and a host whose addresses are known."""

from collections.abc import Callable

from application.runtime.configuration import (
    ConfigurationError,
    ConfigurationMissingError,
    HostDetection,
    HostUnknownError,
    ServerConfiguration,
)
from domain.settings.defaults import default_server_settings
from domain.settings.errors import SettingsError
from domain.settings.profile import ServerAddress
from domain.settings.server import ServerSettings
from domain.settings.validation import validate_server
from tests.adapters.primitives import PlainPrimitives


class MemoryServerConfiguration:
    """Keeps the settings; None means that there are none yet."""

    def __init__(self, settings: ServerSettings | None = None) -> None:
        self._settings = settings
        self.replacements = 0

    def load(self) -> ServerSettings:
        if self._settings is None:
            raise ConfigurationMissingError("there is no configuration")
        return self._settings

    def load_or_create(self) -> ServerSettings:
        if self._settings is None:
            self._settings = default_server_settings()
        return self._settings

    def update(self, change: Callable[[ServerSettings], ServerSettings]) -> ServerSettings:
        changed = change(self.load())
        try:
            validate_server(changed, PlainPrimitives().public_key)
        except SettingsError as exc:
            raise ConfigurationError(str(exc)) from exc
        self._settings = changed
        self.replacements += 1
        return changed


class KnownHost:
    """Detects the address it was given; an empty one means that there is no route."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address

    def detect_host(self) -> ServerAddress:
        if not self._address:
            raise HostUnknownError("no route")
        return self._address


_configuration: type[ServerConfiguration] = MemoryServerConfiguration
_host: type[HostDetection] = KnownHost
