"""The commands behind ``tungo client configs`` and ``tungo client keygen``."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from application.client.configurations import ClientConfigurations, KeepingError, KeptConfiguration
from application.runtime.configuration import ConfigurationError
from application.runtime.entropy import Entropy
from domain.noise.keys import KeyPair
from domain.noise.primitives import KEY_BYTES, Primitives
from domain.settings.client import ClientSettings
from domain.settings.profile import WSS_DEFAULT_PORT, TransportProfile
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.arriving import KEY_FILE_NAME, Arrival, arrival
from infrastructure.pal.configuration.client_store import ClientConfigurationFolder
from infrastructure.pal.configuration.files import CLIENT_FILE_NAME, folder_of, read_text
from infrastructure.pal.configuration.link import LINK, is_link
from infrastructure.pal.configuration.writing import client_json
from presentation.cli.administration import (
    Addition,
    ClientConfigurationCommands,
    ConfigurationView,
    Document,
    Kept,
    NewKey,
)
from tungo.failures import one_sentence

STANDARD_INPUT: Final = "-"
LARGEST_INPUT_BYTES: Final = 1024 * 1024  # ours: many hundred times what a configuration has

_NO_SOURCE: Final = "give a file that 'tungo server gen' made, a link tungo://..., or - for standard input"
_HIDDEN: Final = "(hidden)"


class StoredConfigurationCommands:
    """Keeps configurations in the folder where the client looks for its own."""

    def __init__(self) -> None:
        self._primitives: Primitives = PycaPrimitives()
        self._entropy: Entropy = SystemEntropy()

    def new_client_key(self, config_dir: str) -> NewKey:
        """See ClientConfigurationCommands."""
        keys = KeyPair.from_private(self._primitives, self._entropy.random_bytes(KEY_BYTES))
        private, public = (base64.b64encode(key).decode("ascii") for key in (keys.private, keys.public))
        return NewKey(private, public, Path(config_dir) / KEY_FILE_NAME)

    def configurations(self, config_dir: str) -> tuple[ConfigurationView, ...]:
        """See ClientConfigurationCommands."""
        with one_sentence(KeepingError):
            return tuple(_view(kept) for kept in self._kept(config_dir).all())

    def configuration(self, config_dir: str, name: str | None) -> ConfigurationView:
        """See ClientConfigurationCommands."""
        with one_sentence(KeepingError):
            return _view(self._kept(config_dir).one(name))

    def add_configuration(
        self, config_dir: str, addition: Addition, read_standard_input: Callable[[int], bytes]
    ) -> Kept:
        """See ClientConfigurationCommands."""
        with one_sentence(KeepingError):
            arrived = self._arrived(Path(config_dir), addition, read_standard_input)
            settings = arrived.settings(self._primitives.public_key)
            name = addition.name or _usual_name(addition.source, settings)
            active = self._kept(config_dir).add(name, settings, replaces=addition.replaces)
            return Kept(name.strip(), active)

    def use_configuration(self, config_dir: str, name: str) -> str | None:
        """See ClientConfigurationCommands."""
        with one_sentence(KeepingError):
            return self._kept(config_dir).use(name)

    def rename_configuration(self, config_dir: str, name: str, new_name: str) -> None:
        """See ClientConfigurationCommands."""
        with one_sentence(KeepingError):
            self._kept(config_dir).rename(name, new_name)

    def remove_configuration(self, config_dir: str, name: str, *, even_active: bool) -> None:
        """See ClientConfigurationCommands."""
        with one_sentence(KeepingError):
            self._kept(config_dir).remove(name, even_active=even_active)

    def _kept(self, config_dir: str) -> ClientConfigurations:
        return ClientConfigurations(ClientConfigurationFolder(Path(config_dir), self._primitives.public_key))

    def _arrived(
        self, config_folder: Path, addition: Addition, read_standard_input: Callable[[int], bytes]
    ) -> Arrival:
        source, folder = addition.source, config_folder
        if is_link(source):
            text, origin = source, LINK
        elif source == STANDARD_INPUT:
            text, origin = _text(read_standard_input(LARGEST_INPUT_BYTES + 1)), "standard input"
        else:
            text, origin = read_text(Path(source), if_missing=_NO_SOURCE), source
            folder = folder_of(Path(source))
        public_key_of = self._primitives.public_key
        arrived = arrival(text, origin, folder.absolute(), public_key_of)
        usual_key_file = config_folder / KEY_FILE_NAME
        if addition.key_file is not None:
            return arrived.with_private_key(addition.key_file, public_key_of)
        if arrived.lacks_private_key and os.access(usual_key_file, os.F_OK):
            return arrived.with_private_key(usual_key_file, public_key_of)
        return arrived


def _text(data_untrusted: bytes) -> str:
    if len(data_untrusted) > LARGEST_INPUT_BYTES:
        raise ConfigurationError(f"standard input has more than {LARGEST_INPUT_BYTES} bytes.")
    try:
        return data_untrusted.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"standard input is not UTF-8 text at byte {exc.start}.") from None


def _usual_name(source: str, settings: ClientSettings) -> str:
    """What a file is called without its ending; of what has no name, the server's."""
    if not is_link(source) and source != STANDARD_INPUT:
        file = Path(source).name
        return file.removeprefix(f"{CLIENT_FILE_NAME}.").removesuffix(".json")
    return _host(settings.active)


def _host(profile: TransportProfile) -> str:
    server = profile.server
    return str(server.ipv4 or server.ipv6 or server.domain)


def _server(profile: TransportProfile) -> str:
    host = _host(profile)
    port = profile.port or WSS_DEFAULT_PORT
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _view(kept: KeptConfiguration) -> ConfigurationView:
    settings = kept.settings
    if settings is None:
        return ConfigurationView(kept.name, kept.active, kept.problems)
    addresses = settings.addresses
    return ConfigurationView(
        name=kept.name,
        active=kept.active,
        number=settings.client_id,
        protocols=tuple(protocol.value for protocol in settings.protocols),
        servers=tuple(_server(settings.profile_of(protocol)) for protocol in settings.protocols),
        addresses=tuple(
            str(address.ip) for address in (addresses.ipv4, addresses.ipv6) if address is not None
        ),
        document=_document(settings),
    )


def _document(settings: ClientSettings) -> Document:
    document: dict[str, object] = json.loads(client_json(settings))
    return {**document, "ClientPrivateKey": _HIDDEN}


_: type[ClientConfigurationCommands] = StoredConfigurationCommands
