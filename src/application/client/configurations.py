"""Use case: keep several client configurations and choose the active one (platform specification 12).

The active configuration is a copy: it has no name of its own, and is known by its text.

Errors::

    KeepingError
    ├── NameUnusableError    nothing can be kept under this name
    ├── NameTakenError       something else is kept under it
    ├── NotKeptError         nothing is kept under it
    └── StillActiveError     what is under it is the active configuration

``ConfigurationError`` passes through. Nothing takes the place of anything unless it is valid, and whatever
fails, the active configuration is what it was.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from domain.settings.client import ClientSettings

# A file name has 255 bytes, of which "client_configuration.json." takes 26.
LONGEST_NAME_BYTES: Final = 229
# What this program and editors append to the names of files whose old text they keep.
BACKUP_ENDINGS: Final = (".bak", "~")
# Under which a nameless active configuration is kept when another takes its place.
PREVIOUS: Final = "previous"


class KeepingError(Exception):
    """What was asked for cannot be done; the text says what can."""


class NameUnusableError(KeepingError):
    """``name`` cannot be that of a configuration."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} cannot be the name of a configuration, expected 1 to {LONGEST_NAME_BYTES} bytes of "
            f"characters that can be printed, without slashes, and not the name of a backup (.bak, ~)"
        )


class NameTakenError(KeepingError):
    """There is a configuration ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"there is a configuration {name!r} already; choose another name, or add with --replace"
        )


class NotKeptError(KeepingError):
    """There is no configuration ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"there is no configuration {name!r}; 'tungo client configs list' shows those that there are"
        )


class StillActiveError(KeepingError):
    """The configuration ``name`` is the active one."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name!r} is the active configuration; use another one first, or insist (--force)")


class ConfigurationShelf(Protocol):
    """Where the texts of client configurations lie, some under names, and one that is active.

    Every method raises ConfigurationError when the place cannot be read or written.
    """

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold off other processes until what is done inside is done; makes the place if there is none."""
        ...

    def names(self) -> tuple[str, ...]:
        """The names in use, in the order of people: 2 before 10."""
        ...

    def read(self, name: str | None) -> bytes:
        """The text under ``name``, None for the active one. Raises ConfigurationMissingError."""
        ...

    def write(self, name: str | None, text: bytes) -> None:
        """Put ``text`` there, in the place of what may be there; the whole of it or nothing."""
        ...

    def rename(self, name: str, new_name: str) -> None:
        """Move what is under ``name``."""
        ...

    def remove(self, name: str | None) -> None:
        """Forget what is there, if anything is."""
        ...

    def settings(self, name: str | None, text_untrusted: bytes) -> ClientSettings:
        """What a text says that lies there. Raises ConfigurationError unless it is valid."""
        ...

    def text(self, settings: ClientSettings) -> bytes:
        """The text that says ``settings``."""
        ...


@dataclass(frozen=True, slots=True)
class KeptConfiguration:
    """What is kept under ``name``; None for an active configuration that is kept nowhere else.

    ``settings`` is None if it is not valid, which ``problems`` are the sentences about.
    """

    name: str | None
    active: bool
    settings: ClientSettings | None
    problems: tuple[str, ...] = ()


class ClientConfigurations:
    """The configurations on a shelf."""

    def __init__(self, shelf: ConfigurationShelf) -> None:
        self._shelf = shelf

    def all(self) -> tuple[KeptConfiguration, ...]:
        """Every one, valid or not; an active one without a name comes first. Raises ConfigurationError."""
        names = self._shelf.names()
        active = self._active()
        kept = [self._kept(name, active) for name in names]
        if active is not None and not any(one.active for one in kept):
            kept.insert(0, self._kept(None, active))
        return tuple(kept)

    def one(self, name: str | None) -> KeptConfiguration:
        """The one under ``name``, None for the active one, by its name if it has one.

        Raises NotKeptError, ConfigurationMissingError if none is active, ConfigurationError.
        """
        if name is not None:
            self._require(name)
            return self._kept(name, self._active())
        active = self._shelf.read(None)
        names = (name for name in self._shelf.names() if self._text_or_none(name) == active)
        return self._kept(next(names, None), active)

    def add(self, name: str, settings: ClientSettings, *, replaces: bool = False) -> bool:
        """Keep valid ``settings`` under ``name``; returns whether they are active now.

        They are if nothing else was, or if what they replace was. Raises KeepingError, ConfigurationError.
        """
        name = checked_name(name)
        with self._shelf.exclusive():
            taken = name in self._shelf.names()
            if taken and not replaces:
                raise NameTakenError(name)
            active = self._active()
            becomes_active = active is None or (taken and self._text_or_none(name) == active)
            text = self._shelf.text(settings)
            if active is not None and self._says(active, settings):
                text = active  # what was active without a name has one now
            self._shelf.write(name, text)
            if becomes_active:
                self._shelf.write(None, text)
            return becomes_active or text == active

    def use(self, name: str) -> str | None:
        """Make what is under ``name`` the active configuration, if it is valid.

        An active one that is kept under no name is given one first, which is returned. Raises KeepingError,
        ConfigurationError.
        """
        self._require(name)
        with self._shelf.exclusive():
            text = self._shelf.read(name)
            self._shelf.settings(name, text)
            kept_before = self._keep_active()
            self._shelf.write(None, text)
            return kept_before

    def rename(self, name: str, new_name: str) -> None:
        """Keep it under another name, which must be free. Raises KeepingError, ConfigurationError."""
        new_name = checked_name(new_name)
        self._require(name)
        with self._shelf.exclusive():
            if new_name in self._shelf.names():
                raise NameTakenError(new_name)
            self._shelf.rename(name, new_name)

    def remove(self, name: str, *, even_active: bool = False) -> None:
        """Forget it. With ``even_active`` also where it is the active one, and then no other is.

        Raises KeepingError, ConfigurationError.
        """
        self._require(name)
        with self._shelf.exclusive():
            is_active = self._text_or_none(name) == self._active()
            if is_active and not even_active:
                raise StillActiveError(name)
            if is_active:
                self._shelf.remove(None)
            self._shelf.remove(name)

    def _keep_active(self) -> str | None:
        active = self._active()
        names = self._shelf.names()
        if active is None or any(self._text_or_none(name) == active for name in names):
            return None
        number, free = 1, PREVIOUS
        while free in names:
            number += 1
            free = f"{PREVIOUS}-{number}"
        self._shelf.write(free, active)
        return free

    def _require(self, name: str) -> None:
        if name not in self._shelf.names():
            raise NotKeptError(name)

    def _says(self, text: bytes, settings: ClientSettings) -> bool:
        try:
            return self._shelf.settings(None, text) == settings
        except ConfigurationError:
            return False

    def _active(self) -> bytes | None:
        try:
            return self._shelf.read(None)
        except ConfigurationMissingError:
            return None

    def _text_or_none(self, name: str) -> bytes | None:
        try:
            return self._shelf.read(name)
        except ConfigurationError:
            return None

    def _kept(self, name: str | None, active: bytes | None) -> KeptConfiguration:
        try:
            text = self._shelf.read(name)
        except ConfigurationError as error:
            return KeptConfiguration(name, active=False, settings=None, problems=error.sentences)
        try:
            settings = self._shelf.settings(name, text)
        except ConfigurationError as error:
            return KeptConfiguration(name, text == active, settings=None, problems=error.sentences)
        return KeptConfiguration(name, text == active, settings)


def checked_name(name: str) -> str:
    """``name`` without blanks around it. Raises NameUnusableError."""
    stripped = name.strip()
    if not is_usable_name(stripped):
        raise NameUnusableError(name)
    return stripped


def is_usable_name(name: str) -> bool:
    """Whether a configuration can have this name and no other file has it."""
    return (
        bool(name)
        and name == name.strip()
        and name.isprintable()  # half a surrogate pair is not
        and len(name.encode()) <= LONGEST_NAME_BYTES
        and not set(name) & {"/", "\\"}
        and name not in {".", ".."}
        and not f".{name}".endswith(BACKUP_ENDINGS)
    )
