"""Looking at a configuration file without using it: what is wrong with it, and what is odd.

Odd is what works and may not be meant: a key that nobody knows, rights for others, a file that is not there,
a notation of the March program.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from application.runtime.configuration import ConfigurationError
from domain.settings.errors import shown
from domain.settings.profile import TransportProfile, TransportProtocol
from domain.settings.rules import PublicKeyOf, settings_path
from infrastructure.pal.configuration.environment import Overlay
from infrastructure.pal.configuration.files import folder_of, parse_json, read_text
from infrastructure.pal.configuration.findings import validated
from infrastructure.pal.configuration.reading import parse_client, parse_server
from infrastructure.pal.configuration.roles import FileRole, role_of_file
from infrastructure.pal.configuration.schema import ClientDocument, JsonObject, ServerDocument

NO_FILE: Final = "give the path of a configuration file"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a file, in sentences; ``role`` is None if it is neither server's nor client's."""

    role: FileRole | None
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def check(path: Path, public_key_of: PublicKeyOf, overlay: Overlay) -> Checked:
    """Everything that is wrong with the file, and what is odd about it.

    ``overlay`` is what the environment lays over a server's file. Raises ConfigurationError if it cannot be
    read.
    """
    text_untrusted = read_text(path, if_missing=NO_FILE)
    source = str(path)
    try:
        document = parse_json(text_untrusted, source)
    except ConfigurationError as exc:
        return Checked(None, exc.sentences)
    role = role_of_file(path, document)
    schema: type[JsonObject] = ClientDocument
    profiles: tuple[tuple[str, TransportProfile], ...] = ()
    try:
        if role is FileRole.SERVER:
            schema = ServerDocument
            server = parse_server(text_untrusted, source, public_key_of, folder_of(path), overlay).settings
            profiles = _named(server.slots)
        elif role is FileRole.CLIENT:
            client = parse_client(text_untrusted, source, public_key_of, folder_of(path))
            profiles = _named(client.slots)
        else:
            return Checked(None, (no_role(path),))
        problems: tuple[str, ...] = ()
    except ConfigurationError as exc:
        problems = exc.sentences
    read, _ = validated(schema, document)
    remarks = (
        *_rights(path),
        *_unknown_keys(source, read),
        *_march(source, read),
        *_absent(source, profiles),
    )
    return Checked(role, problems, remarks)


def no_role(path: Path) -> str:
    """The sentence about a file that is neither server's nor client's."""
    return (
        f"{path} is neither a server's nor a client's configuration: it lacks the keys that tell them apart, "
        f"AllowedPeers or ClientID for example."
    )


def _named(
    slots: tuple[tuple[TransportProtocol, TransportProfile], ...],
) -> tuple[tuple[str, TransportProfile], ...]:
    return tuple((settings_path(slot), profile) for slot, profile in slots)


def _rights(path: Path) -> Iterator[str]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield f"{path} holds a private key and is open to others (mode {mode:o}); run chmod 600 {path}."


def _unknown_keys(source: str, document: JsonObject, path: str = "") -> Iterator[str]:
    """Of the whole tree; a list's items are looked at, too."""
    for key in document.model_extra or {}:
        name = shown(key).strip("'")
        yield f"{source}: {path}{name} is a key that nothing reads."
    for attribute, field in type(document).model_fields.items():
        here = f"{path}{field.alias}"
        value: object = getattr(document, attribute)
        if isinstance(value, JsonObject):
            yield from _unknown_keys(source, value, f"{here}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, JsonObject):
                    yield from _unknown_keys(source, item, f"{here}[{index}].")


def _march(source: str, document: JsonObject) -> Iterator[str]:
    if isinstance(document, ServerDocument) and document.fallback_server_address.strip():
        what = "is what older versions call Host" if not document.host.strip() else "is not used beside Host"
        yield f"{source}: FallbackServerAddress {what}; 'tungo config migrate' brings the file up to date."


def _absent(source: str, profiles: tuple[tuple[str, TransportProfile], ...]) -> Iterator[str]:
    for path, profile in profiles:
        files: Mapping[str, str | None] = {
            "CAFile": profile.tls.ca_file,
            "CertificateFile": profile.tls.certificate_file,
            "KeyFile": profile.tls.key_file,
        }
        for key, file in files.items():
            if file is None or os.access(file, os.R_OK):
                continue
            name = shown(Path(file).name)
            yield f"{source}: {path}.TLS.{key} names {name}, which is not there or not readable to this user."
