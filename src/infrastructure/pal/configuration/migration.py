"""Bringing files of older versions up to date (platform specification 26).

What changes: the March program's ``FallbackServerAddress`` becomes ``Host``; interfaces that have its default
names, which are the same on both ends of a tunnel, get today's, which are not; keys get their canonical names
and places, and settings that are left out are filled in; others lose their rights to the file. What has no
counterpart, and keys that nobody knows, stay as they are.
"""

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from application.runtime.configuration import ConfigurationError
from domain.settings.client import ClientSettings
from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.errors import shown
from domain.settings.profile import TransportProfile, TransportProtocol
from domain.settings.rules import PublicKeyOf
from domain.settings.server import ServerSettings
from infrastructure.pal.configuration.checking import NO_FILE, no_role
from infrastructure.pal.configuration.files import folder_of, parse_json, read_text, worded
from infrastructure.pal.configuration.findings import validated
from infrastructure.pal.configuration.reading import parse_client, parse_server
from infrastructure.pal.configuration.replacing import FILE_MODE, backup_of, exclusive_lock, replace_file
from infrastructure.pal.configuration.roles import FileRole, role_of_file
from infrastructure.pal.configuration.schema import ClientDocument
from infrastructure.pal.configuration.writing import client_json, server_json

# Platform specification 5, the row of March.
_MARCH_INTERFACES: Final = {
    TransportProtocol.TCP: "tcptun0",
    TransportProtocol.UDP: "udptun0",
    TransportProtocol.WS: "wstun0",
}

Settings = TypeVar("Settings", ServerSettings, ClientSettings)


@dataclass(frozen=True, slots=True)
class Plan:
    """What bringing a file up to date means, in sentences without a full stop; none if it is up to date."""

    path: Path
    before: str
    after: str
    changes: tuple[str, ...]


def plan(path: Path, public_key_of: PublicKeyOf) -> Plan:
    """What would change. Raises ConfigurationError, also if the file is not valid: then it is kept."""
    path = path.resolve()  # replacing a link would leave the file behind it as it is
    text_untrusted = read_text(path, if_missing=NO_FILE)
    document = parse_json(text_untrusted, str(path))
    match role_of_file(path, document):
        case FileRole.SERVER:
            after = _server(text_untrusted, path, public_key_of)
        case FileRole.CLIENT:
            after = _client(text_untrusted, document, path, public_key_of)
        case _:
            raise ConfigurationError(no_role(path))
    changes = [*_differences("", document, json.loads(after)), *_rights(path)]
    return Plan(path, text_untrusted, after, tuple(changes))


def migrate(path: Path, public_key_of: PublicKeyOf) -> Plan:
    """Do it; the text from before stays as ``.bak``. Raises ConfigurationError."""
    path = path.resolve()
    with worded(path, "written", if_missing=NO_FILE), exclusive_lock(path):
        found = plan(path, public_key_of)
        if found.changes:
            replace_file(backup_of(path), found.before.encode())
            replace_file(path, found.after.encode("utf-8", "replace"))
    return found


def _server(text_untrusted: str, path: Path, public_key_of: PublicKeyOf) -> str:
    folder = folder_of(path)
    found = parse_server(text_untrusted, str(path), public_key_of, folder)
    settings = _with_current_interfaces(
        found.stored, {slot: defaults.server_interface for slot, defaults in SLOT_DEFAULTS.items()}
    )
    highest = max((peer.client_id for peer in settings.peers), default=0)
    settings = replace(settings, client_counter=max(settings.client_counter, highest))
    return server_json(settings, found.document, folder)


def _client(text_untrusted: str, document: dict[str, object], path: Path, public_key_of: PublicKeyOf) -> str:
    folder = folder_of(path)
    settings = _with_current_interfaces(
        parse_client(text_untrusted, str(path), public_key_of, folder),
        {slot: defaults.client_interface for slot, defaults in SLOT_DEFAULTS.items()},
    )
    found, _ = validated(ClientDocument, document)
    return client_json(settings, found, folder)


def _with_current_interfaces(settings: Settings, names: dict[TransportProtocol, str]) -> Settings:
    def current(slot: TransportProtocol, profile: TransportProfile) -> TransportProfile:
        if profile.interface_name != _MARCH_INTERFACES[slot]:
            return profile
        return replace(profile, interface_name=names[slot])

    return settings.with_each(current)


def _rights(path: Path) -> Iterator[str]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield f"the mode {mode:o} becomes {FILE_MODE:o}"


def _differences(path: str, before: object, after: object) -> Iterator[str]:
    """Every value that is not what it was, by its place in the document; no key is ever shown."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*after, *(key for key in before if key not in after)]:
            here = f"{path}.{key}".removeprefix(".")
            if key not in before:
                yield f"{here} is added: {_shown(here, after[key])}"
            elif key not in after:
                yield f"{here} goes: {_shown(here, before[key])}"
            else:
                yield from _differences(here, before[key], after[key])
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}[{index}]", old, new)
    elif before != after:
        yield f"{path} becomes {_shown(path, after)}, was {_shown(path, before)}"


def _shown(path: str, value: object) -> str:
    return "a key" if path.casefold().endswith("key") and value is not None else shown(value)
