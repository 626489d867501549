"""A client configuration on its way in: a file's text or a link, with the private key or without."""

import json
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from application.runtime.configuration import ConfigurationError
from domain.noise.primitives import KEY_BYTES
from domain.settings.client import ClientSettings
from domain.settings.rules import PublicKeyOf
from infrastructure.pal.configuration.files import parse_json, read_text
from infrastructure.pal.configuration.link import LINK, decode_link, is_link
from infrastructure.pal.configuration.notation import NotationError, parse_key
from infrastructure.pal.configuration.reading import parse_client
from infrastructure.pal.configuration.roles import FileRole, role_of

KEY_FILE_NAME: Final = "client.key"  # in the configuration's folder; ours

_PRIVATE_KEY: Final = "ClientPrivateKey"
_PUBLIC_KEY: Final = "ClientPublicKey"
_NO_KEY_FILE: Final = "'tungo client keygen' makes one"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A client's document that has not been examined; ``source`` names it in messages.

    Relative paths in it begin in ``folder``.
    """

    source: str
    folder: Path
    document: dict[str, object] = field(repr=False)

    @property
    def lacks_private_key(self) -> bool:
        """Whether the client has its private key elsewhere."""
        return _value(self.document, _PRIVATE_KEY) is None

    def with_private_key(self, key_file: Path, public_key_of: PublicKeyOf) -> "Arrival":
        """This with the key in ``key_file``. Raises ConfigurationError if it belongs to something else."""
        private_key = read_private_key(key_file)
        try:
            public_key = parse_key(_value(self.document, _PUBLIC_KEY))
        except NotationError:
            public_key = b""  # told among the problems of the document
        if public_key and public_key_of(parse_key(private_key)) != public_key:
            raise ConfigurationError(
                f"{key_file} is not the private key that belongs to the {_PUBLIC_KEY} in {self.source}; give "
                f"the file of the right one with --key."
            )
        others = {
            key: value for key, value in self.document.items() if key.casefold() != _PRIVATE_KEY.casefold()
        }
        return replace(self, document={**others, _PRIVATE_KEY: private_key})

    def settings(self, public_key_of: PublicKeyOf) -> ClientSettings:
        """The valid settings in it. Raises ConfigurationError."""
        if role_of(self.document) is FileRole.SERVER:
            raise ConfigurationError(
                f"{self.source} is a server's configuration; 'tungo server gen' makes one for a client."
            )
        try:
            return parse_client(json.dumps(self.document), self.source, public_key_of, self.folder)
        except ConfigurationError as exc:
            if not self.lacks_private_key:
                raise
            begin = f"{self.source}: {_PRIVATE_KEY} is "
            others = (sentence for sentence in exc.sentences if not sentence.startswith(begin))
            raise ConfigurationError(
                *others,
                f"{begin}not set, expected a key of {KEY_BYTES} bytes in base64, or with --key the file that "
                f"'tungo client keygen' made.",
            ) from exc


def arrival(text_untrusted: str, source: str, folder: Path, public_key_of: PublicKeyOf) -> Arrival:
    """The document in ``text_untrusted``, which is JSON or a link. Raises ConfigurationError.

    Blanks, control and invisible characters around it, which copying brings along, are taken off.
    """
    text = _trimmed(text_untrusted)
    if is_link(text):
        return Arrival(LINK, folder, decode_link(text, public_key_of))
    return Arrival(source, folder, parse_json(text, source))


def read_private_key(path: Path) -> str:
    """The private key in a file of its own, in base64. Raises ConfigurationError."""
    text = read_text(path, if_missing=_NO_KEY_FILE).strip()
    try:
        key = parse_key(text)
    except NotationError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{path} is not a key of {KEY_BYTES} bytes in base64; {_NO_KEY_FILE}.")
    return text


def _value(document: dict[str, object], name: str) -> object:
    """Keys match in any case, and of several the last counts, as in the schema."""
    found = [value for key, value in document.items() if key.casefold() == name.casefold()]
    return found[-1] if found else None


def _trimmed(text: str) -> str:
    start, end = 0, len(text)
    while start < end and _is_invisible(text[start]):
        start += 1
    while end > start and _is_invisible(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in {"Cc", "Cf"}
