"""Client configurations in memory, whose texts say no more than which settings they stand for."""

from collections.abc import Iterator
from contextlib import contextmanager

from application.client.configurations import ConfigurationShelf, is_usable_name
from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from domain.settings.client import ClientSettings


class MemoryShelf:
    """Keeps texts by name, None for the active one; ``changes`` are counted."""

    def __init__(self) -> None:
        self.texts: dict[str | None, bytes] = {}
        self.changes = 0
        self._known: dict[bytes, ClientSettings] = {}
        self._held = False

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        assert not self._held, "two use cases at once"
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def names(self) -> tuple[str, ...]:
        found = (name for name in self.texts if name is not None and is_usable_name(name))
        return tuple(sorted(found, key=lambda name: (len(name), name) if name.isdigit() else (99, name)))

    def read(self, name: str | None) -> bytes:
        if name not in self.texts:
            raise ConfigurationMissingError(f"there is no {name}")
        return self.texts[name]

    def write(self, name: str | None, text: bytes) -> None:
        self._changed()
        self.texts[name] = text

    def rename(self, name: str, new_name: str) -> None:
        self._changed()
        self.texts[new_name] = self.texts.pop(name)

    def remove(self, name: str | None) -> None:
        self._changed()
        self.texts.pop(name, None)

    def settings(self, name: str | None, text_untrusted: bytes) -> ClientSettings:
        if text_untrusted not in self._known:
            raise ConfigurationError(f"{name} is not valid")
        return self._known[text_untrusted]

    def text(self, settings: ClientSettings) -> bytes:
        text = repr((settings, settings.private_key)).encode()
        self._known[text] = settings
        return text

    def _changed(self) -> None:
        assert self._held, "a change without holding off others"
        self.changes += 1


_: type[ConfigurationShelf] = MemoryShelf
