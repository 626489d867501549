"""The commands behind ``tungo server gen`` and ``tungo server peers``."""

import base64
import os
from pathlib import Path
from typing import Final

from application.runtime.configuration import HostUnknownError
from application.runtime.entropy import Entropy
from application.server.generate import ClientWish, GenerateClient
from application.server.generate import GeneratedClient as Generated
from application.server.issue import GenerationError
from application.server.peers import AdmittedPeer, PeerError, Peers
from domain.addressing.peers import Peer
from domain.addressing.tunnel import TunnelAddresses
from domain.noise.primitives import Primitives
from domain.settings.host import HostError
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.text import TextEventLog
from infrastructure.pal.configuration.files import ConfigurationFolder
from infrastructure.pal.configuration.host_detection import RouteHostDetection
from infrastructure.pal.configuration.link import encode_link
from infrastructure.pal.configuration.notation import NotationError, parse_key
from infrastructure.pal.configuration.store import ServerConfigurationStore
from infrastructure.pal.configuration.writing import client_json
from presentation.cli.administration import GeneratedClient, PeerCommands, PeerView, Wish
from tungo.failures import one_sentence

_EXPECTED: Final = (GenerationError, HostError, HostUnknownError, PeerError)


class ServerPeerCommands:
    """Reads and changes the server's file; a server that runs notices by itself."""

    def __init__(self) -> None:
        self._primitives: Primitives = PycaPrimitives()
        self._entropy: Entropy = SystemEntropy()

    def generate_client(self, config_dir: str, wish: Wish, name: str | None) -> GeneratedClient:
        """See PeerCommands."""
        with one_sentence(*_EXPECTED):
            return self._issued(self._generator(config_dir).generate(_wish(wish), name=name))

    def regenerate_client(self, config_dir: str, wish: Wish, which: str) -> GeneratedClient:
        """See PeerCommands."""
        with one_sentence(*_EXPECTED):
            return self._issued(self._generator(config_dir).regenerate(which, _wish(wish)))

    def peers(self, config_dir: str) -> tuple[PeerView, ...]:
        """See PeerCommands."""
        with one_sentence(*_EXPECTED):
            return tuple(_admitted_view(admitted) for admitted in self._peers(config_dir).all())

    def peer(self, config_dir: str, which: str) -> PeerView:
        """See PeerCommands."""
        with one_sentence(*_EXPECTED):
            return _admitted_view(self._peers(config_dir).one(which))

    def rename_peer(self, config_dir: str, which: str, name: str) -> PeerView:
        """See PeerCommands."""
        with one_sentence(*_EXPECTED):
            return _view(self._peers(config_dir).rename(which, name))

    def enable_peer(self, config_dir: str, which: str, *, enabled: bool) -> PeerView:
        """See PeerCommands."""
        with one_sentence(*_EXPECTED):
            return _view(self._peers(config_dir).set_enabled(which, enabled=enabled))

    def remove_peer(self, config_dir: str, which: str) -> PeerView:
        """See PeerCommands."""
        with one_sentence(*_EXPECTED):
            return _view(self._peers(config_dir).remove(which))

    def _store(self, config_dir: str) -> ServerConfigurationStore:
        path = ConfigurationFolder(Path(config_dir)).server_file
        return ServerConfigurationStore(path, self._primitives.public_key, TextEventLog(), os.environ)

    def _peers(self, config_dir: str) -> Peers:
        return Peers(self._store(config_dir))

    def _generator(self, config_dir: str) -> GenerateClient:
        return GenerateClient(self._store(config_dir), RouteHostDetection(), self._primitives, self._entropy)

    def _issued(self, generated: Generated) -> GeneratedClient:
        settings = generated.settings
        return GeneratedClient(
            json=client_json(settings),
            client_id=settings.client_id,
            notes=tuple(note.sentence for note in generated.notes),
            link=encode_link(settings, self._primitives.public_key),
            holds_private_key=bool(settings.private_key),
        )


def _wish(wish: Wish) -> ClientWish:
    public_key = None
    if wish.client_key is not None:
        try:
            public_key = parse_key(wish.client_key.strip())
        except NotationError:
            public_key = b""  # which is refused like any other that is not one
    return ClientWish(host=wish.host, protocol=wish.protocol, public_key=public_key)


def _admitted_view(admitted: AdmittedPeer) -> PeerView:
    return _view(admitted.peer, {slot.value: _texts(addresses) for slot, addresses in admitted.addresses})


def _view(peer: Peer, addresses: dict[str, tuple[str, ...]] | None = None) -> PeerView:
    return PeerView(
        number=peer.client_id,
        name=peer.name,
        enabled=peer.enabled,
        public_key=base64.b64encode(peer.public_key).decode("ascii"),
        addresses=addresses or {},
    )


def _texts(addresses: TunnelAddresses) -> tuple[str, ...]:
    ipv4 = str(addresses.ipv4.ip)
    return (ipv4,) if addresses.ipv6 is None else (ipv4, str(addresses.ipv6.ip))


_: type[PeerCommands] = ServerPeerCommands
