"""The server's configuration as a file in JSON: the adapter of ``application.runtime.configuration``."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from application.runtime.configuration import (
    ConfigurationError,
    ConfigurationMissingError,
    ServerConfiguration,
)
from application.runtime.log import EventLog
from domain.settings.defaults import default_server_settings
from domain.settings.errors import SettingsError
from domain.settings.rules import PublicKeyOf
from domain.settings.server import ServerSettings
from domain.settings.validation import validate_server
from infrastructure.pal.configuration.files import read_text
from infrastructure.pal.configuration.reading import (
    NO_SERVER_FILE,
    configuration_error,
    parse_server,
    read_server,
)
from infrastructure.pal.configuration.replacing import (
    FOLDER_MODE,
    LockTimeoutError,
    close_to_others,
    exclusive_lock,
    replace_file,
)
from infrastructure.pal.configuration.schema import ServerDocument
from infrastructure.pal.configuration.writing import server_json


class ServerConfigurationStore:
    """The server file at ``path``. Nothing is cached: other processes change the file too.

    ``public_key_of`` is X25519's public key of a private one.
    """

    def __init__(self, path: Path, public_key_of: PublicKeyOf, log: EventLog) -> None:
        self._named = path
        self._public_key_of = public_key_of
        self._log = log

    @property
    def path(self) -> Path:
        """The file itself: replacing a symbolic link would leave the file that it leads to behind."""
        return Path(os.path.realpath(self._named))

    def load(self) -> ServerSettings:
        """The settings in the file as it is now; changes nothing."""
        return read_server(self.path, self._public_key_of)

    def load_or_create(self) -> ServerSettings:
        """The settings; a missing file is made, and rights of others to it are taken back."""
        with self._worded():
            self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        try:
            settings = self.load()
        except ConfigurationMissingError:
            return self._create()
        try:
            close_to_others(self.path)
        except OSError as exc:
            self._log.warning(
                "others can read the file with the private key, and their rights cannot be taken back",
                path=str(self.path),
                reason=exc.strerror or "unknown",
            )
        return settings

    def update(self, change: Callable[[ServerSettings], ServerSettings]) -> ServerSettings:
        """Replace the file by one with the changed settings; keys unknown to this program are kept."""
        path = self.path
        if not path.parent.is_dir():
            raise ConfigurationMissingError(f"{path} does not exist; {NO_SERVER_FILE}.")
        with self._locked():
            text = read_text(path, if_missing=NO_SERVER_FILE)
            document, settings = parse_server(text, str(path), self._public_key_of)
            return self._write(change(settings), document)

    def _create(self) -> ServerSettings:
        with self._locked():
            try:
                return self.load()  # another process was first
            except ConfigurationMissingError:
                return self._write(default_server_settings(), None)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            with self._worded():
                held.enter_context(exclusive_lock(self.path))
            yield

    def _write(self, settings: ServerSettings, found: ServerDocument | None) -> ServerSettings:
        try:
            validate_server(settings, self._public_key_of)
        except SettingsError as exc:
            raise configuration_error(f"{self.path} was not changed", exc.problems) from None
        with self._worded():
            replace_file(self.path, server_json(settings, found).encode("utf-8", "replace"))
        return settings

    @contextlib.contextmanager
    def _worded(self) -> Iterator[None]:
        try:
            yield
        except LockTimeoutError as exc:
            raise ConfigurationError(f"{self.path} is being changed by another process; try again.") from exc
        except PermissionError as exc:
            raise ConfigurationError(f"{self.path} may not be written by this user; run as root.") from exc
        except OSError as exc:
            raise ConfigurationError(f"{self.path} could not be written: {exc.strerror}.") from exc


_: type[ServerConfiguration] = ServerConfigurationStore
