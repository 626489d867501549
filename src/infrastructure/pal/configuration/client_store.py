"""Client configurations as files beside one another, where the Go program has them, too.

The active one is ``client_configuration.json``, the others are ``client_configuration.json.<name>`` (platform
specification 12).
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from application.client.configurations import ConfigurationShelf, is_usable_name
from application.runtime.configuration import ConfigurationError
from domain.settings.client import ClientSettings
from domain.settings.rules import PublicKeyOf
from infrastructure.pal.configuration.files import ConfigurationFolder, folder_of, read_bytes, worded
from infrastructure.pal.configuration.reading import NO_CLIENT_FILE, parse_client
from infrastructure.pal.configuration.replacing import FOLDER_MODE, exclusive_lock, replace_file
from infrastructure.pal.configuration.writing import client_json

_DIGITS: Final = re.compile(r"(\d+)", re.ASCII)


class ClientConfigurationFolder:
    """The files in ``folder``. ``public_key_of`` is X25519's public key of a private one."""

    def __init__(self, folder: Path, public_key_of: PublicKeyOf) -> None:
        self._active = ConfigurationFolder(folder).client_file
        self._public_key_of = public_key_of

    def path(self, name: str | None) -> Path:
        """The file that has, or would have, what is kept under ``name``."""
        return self._active if name is None else self._active.with_name(f"{self._active.name}.{name}")

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """See ConfigurationShelf."""
        with contextlib.ExitStack() as held:
            with _worded(self._active.parent):
                self._active.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            with _worded(self._active):
                held.enter_context(exclusive_lock(self._active))
            yield

    def names(self) -> tuple[str, ...]:
        """See ConfigurationShelf."""
        prefix = f"{self._active.name}."
        with _worded(self._active.parent):
            try:
                files = os.listdir(self._active.parent)  # noqa: PTH208 - names are what is needed
            except FileNotFoundError:
                return ()
        found = (file.removeprefix(prefix) for file in files if file.startswith(prefix))
        return tuple(sorted((name for name in found if is_usable_name(name)), key=_as_people_sort))

    def read(self, name: str | None) -> bytes:
        """See ConfigurationShelf."""
        return read_bytes(self.path(name), if_missing=NO_CLIENT_FILE)

    def write(self, name: str | None, text: bytes) -> None:
        """See ConfigurationShelf."""
        with _worded(self.path(name)):
            replace_file(self.path(name), text)

    def rename(self, name: str, new_name: str) -> None:
        """See ConfigurationShelf."""
        with _worded(self.path(name)):
            self.path(name).rename(self.path(new_name))

    def remove(self, name: str | None) -> None:
        """See ConfigurationShelf."""
        with _worded(self.path(name)):
            self.path(name).unlink(missing_ok=True)

    def settings(self, name: str | None, text_untrusted: bytes) -> ClientSettings:
        """See ConfigurationShelf."""
        path = self.path(name)
        try:
            text = text_untrusted.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise ConfigurationError(f"{path} is not UTF-8 text at byte {exc.start}.") from None
        return parse_client(text, str(path), self._public_key_of, folder_of(path))

    def text(self, settings: ClientSettings) -> bytes:
        """See ConfigurationShelf."""
        return (client_json(settings) + "\n").encode("utf-8", "replace")


def _as_people_sort(name: str) -> tuple[list[tuple[int, str]], str]:
    """Runs of digits by their value: first by their length, which spares turning them into numbers."""
    parts = (part.lstrip("0") if part.isdigit() else part for part in _DIGITS.split(name))
    return [(len(part), part) if part.isdigit() else (0, part) for part in parts], name


def _worded(path: Path) -> contextlib.AbstractContextManager[None]:
    return worded(path, "read and written", failed="cannot be")


_: type[ConfigurationShelf] = ClientConfigurationFolder
