"""The server's configuration as a file in JSON: the adapter of ``application.runtime.configuration``."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from application.runtime.configuration import (
    ConfigurationError,
    ConfigurationMissingError,
    ServerConfiguration,
)
from application.runtime.log import EventLog
from domain.settings.defaults import default_server_settings
from domain.settings.errors import Problem
from domain.settings.rules import PublicKeyOf
from domain.settings.server import ServerSettings
from infrastructure.pal.configuration.environment import ENVIRONMENT, NO_ENVIRONMENT, read_overlay
from infrastructure.pal.configuration.files import folder_of, read_text, worded
from infrastructure.pal.configuration.reading import (
    NO_SERVER_FILE,
    configuration_error,
    parse_server,
    read_server,
    server_problems,
)
from infrastructure.pal.configuration.replacing import (
    FOLDER_MODE,
    backup_of,
    close_to_others,
    exclusive_lock,
    replace_file,
)
from infrastructure.pal.configuration.schema import ServerDocument
from infrastructure.pal.configuration.writing import server_json


class ServerConfigurationStore:
    """The server file at ``path``. Nothing is cached: other processes change the file too.

    ``public_key_of`` is X25519's public key of a private one. What ``environment`` says is laid over whatever
    is read and kept out of whatever is written. Whenever the file is replaced, the text that it had stays
    beside it as ``.bak``.
    """

    def __init__(
        self,
        path: Path,
        public_key_of: PublicKeyOf,
        log: EventLog,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
    ) -> None:
        self._named = path
        self._public_key_of = public_key_of
        self._log = log
        self._overlay = read_overlay(environment, public_key_of)

    @property
    def path(self) -> Path:
        """The file itself: replacing a symbolic link would leave the file that it leads to behind."""
        return Path(os.path.realpath(self._named))

    def load(self) -> ServerSettings:
        """The settings in the file as it is now; changes nothing."""
        return read_server(self.path, self._public_key_of, self._overlay)

    def load_or_create(self) -> ServerSettings:
        """The settings; a missing file is made, and rights of others to it are taken back."""
        self._tell_overlay()
        with worded(self.path, "written"):
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
        with worded(path, "written"):
            if not path.parent.is_dir():
                raise ConfigurationMissingError(f"{path} does not exist; {NO_SERVER_FILE}.")
        with self._locked():
            text = read_text(path, if_missing=NO_SERVER_FILE)
            found = parse_server(text, str(path), self._public_key_of, folder_of(path), self._overlay)
            changed = change(found.settings)
            stored = self._overlay.taken_off(changed, found.stored)
            self._check(changed, stored, server_problems(found.stored, self._public_key_of))
            self._write(stored, text, found.document)
        return changed

    def _create(self) -> ServerSettings:
        with self._locked():
            try:
                return self.load()  # another process was first
            except ConfigurationMissingError:
                if self._overlay.problems:
                    raise configuration_error(ENVIRONMENT, self._overlay.problems) from None
                stored = default_server_settings()
                settings = self._overlay.over(stored)
                self._check(settings, stored, ())
                self._write(stored)
                return settings

    def _tell_overlay(self) -> None:
        """Say once what is easily set by accident: a variable named no more than ``Host``, for one."""
        if self._overlay.variables:
            names = ", ".join(self._overlay.variables)
            self._log.warning("the environment takes the place of settings in the file", variables=names)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            with worded(self.path, "written"):
                held.enter_context(exclusive_lock(self.path))
            yield

    def _check(self, changed: ServerSettings, stored: ServerSettings, tolerated: Collection[Problem]) -> None:
        """Both the settings in force and those in the file have to be valid.

        ``tolerated`` are the problems that the file has without the environment, and may keep.
        """
        problems = [*server_problems(changed, self._public_key_of)]
        if stored != changed:
            alone = server_problems(stored, self._public_key_of)
            problems += (p for p in alone if p not in problems and p not in tolerated)
        if problems:
            raise configuration_error(f"{self.path} was not changed", problems)

    def _write(
        self, stored: ServerSettings, text_found: str | None = None, found: ServerDocument | None = None
    ) -> None:
        """Put ``stored`` into the file; ``text_found`` and ``found`` are what is there, None for nothing."""
        path = self.path
        try:
            text = server_json(stored, found, folder_of(path))
        except RecursionError:
            # Reading unknown keys takes less of the stack than writing them.
            raise ConfigurationError(f"{path} could not be written: it is nested too deeply.") from None
        with worded(path, "written"):
            if text == text_found:
                close_to_others(path)
                return
            if text_found is not None:
                replace_file(backup_of(path), text_found.encode())
            replace_file(path, text.encode("utf-8", "replace"))


_: type[ServerConfiguration] = ServerConfigurationStore
