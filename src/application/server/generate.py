"""Use cases: admit a client, or give one new keys, and make its settings (platform specification 11).

Errors: those of ``application.server.issue`` and ``application.server.peers``; ``ConfigurationError``,
``HostError`` and ``HostUnknownError`` pass through. Whatever fails, nothing has been changed: the server's
key pair, the IPv6 subnets and the peer are stored in one step.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from application.runtime.configuration import HostDetection, ServerConfiguration
from application.runtime.entropy import Entropy
from application.server.issue import GenerationError, client_settings, require_served
from application.server.peers import checked_name, find_peer, with_peer_replaced
from domain.addressing.peers import Peer
from domain.addressing.tunnel import FIRST_CLIENT_ID, last_client_id
from domain.noise.keys import KeyPair
from domain.noise.primitives import KEY_BYTES, Primitives
from domain.settings.client import ClientSettings
from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.host import parse_host
from domain.settings.profile import (
    SMALLEST_IPV6_MTU_BYTES,
    ServerAddress,
    TransportProfile,
    TransportProtocol,
)
from domain.settings.server import ServerSettings


class NoFreeClientIdError(GenerationError):
    """Every client id up to ``last_client_id`` is taken; a larger subnet has more."""

    def __init__(self, last_client_id: int) -> None:
        self.last_client_id = last_client_id
        super().__init__(
            f"all {last_client_id} client numbers that fit the tunnel subnets are taken; remove a peer or "
            f"give the enabled transports larger subnets"
        )


class ClientKeyError(GenerationError):
    """The client's public key cannot be admitted; the text says why without quoting the key."""


@dataclass(frozen=True, slots=True)
class PrivateHostDetected:
    """The client's file leads to an address that only the local network can reach."""

    address: IPv4Address | IPv6Address

    @property
    def sentence(self) -> str:
        """For the person who runs the command."""
        return (
            f"{self.address} was detected as this server's address, but it cannot be reached from the "
            f"Internet; set Host in the server's configuration to the public address or name"
        )


@dataclass(frozen=True, slots=True)
class Ipv6SubnetsAdded:
    """IPv6 was switched on in the tunnels; a server that runs keeps to the old settings until restarted."""

    slots: tuple[TransportProtocol, ...]

    @property
    def sentence(self) -> str:
        """For the person who runs the command."""
        names = ", ".join(slot.value for slot in self.slots)
        return f"IPv6 was switched on for {names}; a running server takes it up when it is restarted"


@dataclass(frozen=True, slots=True)
class ServerKeysCreated:
    """The server had no key pair; it has one now."""

    @property
    def sentence(self) -> str:
        """For the person who runs the command."""
        return "the server had no key pair, so a new one was made"


@dataclass(frozen=True, slots=True)
class PeerDisabled:
    """The peer has new keys, but may not connect with them."""

    client_id: int

    @property
    def sentence(self) -> str:
        """For the person who runs the command."""
        return (
            f"peer {self.client_id} is disabled; 'tungo server peers enable {self.client_id}' lets it connect"
        )


Note: TypeAlias = PrivateHostDetected | Ipv6SubnetsAdded | ServerKeysCreated | PeerDisabled


@dataclass(frozen=True, slots=True)
class ClientWish:
    """How a client's settings are wanted.

    ``host`` is what it connects to, None for the configured or detected address; ``protocol`` is what it
    connects with, None for the first that is served of UDP, TCP and WebSocket. The others that are served
    are what it falls back to. ``public_key`` is that of a client which keeps its private key to itself (32
    bytes); None has a pair made here.
    """

    host: str | None = None
    protocol: TransportProtocol | None = None
    public_key: bytes | None = None


DEFAULT_WISH = ClientWish()


@dataclass(frozen=True, slots=True)
class GeneratedClient:
    """A new client's settings, and what the person who asked for them should know."""

    settings: ClientSettings
    notes: tuple[Note, ...]


class GenerateClient:
    """Makes the settings of a client and lets it in.

    The client's private key is in the result and nowhere else: the server keeps only the public one.
    """

    def __init__(
        self,
        configuration: ServerConfiguration,
        host_detection: HostDetection,
        primitives: Primitives,
        entropy: Entropy,
    ) -> None:
        self._configuration = configuration
        self._host_detection = host_detection
        self._primitives = primitives
        self._entropy = entropy

    def generate(self, wish: ClientWish = DEFAULT_WISH, *, name: str | None = None) -> GeneratedClient:
        """One new client. ``name`` labels the peer, None for ``client-<number>``.

        Raises GenerationError, PeerNameError, ConfigurationError, HostError, HostUnknownError.
        """

        def admitted(settings: ServerSettings, public_key: bytes) -> ServerSettings:
            return _with_peer(settings, public_key, name)

        return self._issue(self._configuration.load_or_create(), wish, admitted)

    def regenerate(self, which: str, wish: ClientWish = DEFAULT_WISH) -> GeneratedClient:
        """The peer with this number or name with new keys; the old ones are worth nothing any more.

        Raises GenerationError, PeerError, ConfigurationError, HostError, HostUnknownError.
        """

        def rekeyed(settings: ServerSettings, public_key: bytes) -> ServerSettings:
            peer = find_peer(settings.peers, which)
            return with_peer_replaced(settings, peer, replace(peer, public_key=public_key))

        before = self._configuration.load()
        find_peer(before.peers, which)  # a wrong name is told before anything is looked up
        return self._issue(before, wish, rekeyed)

    def _issue(
        self,
        before: ServerSettings,
        wish: ClientWish,
        admit: Callable[[ServerSettings, bytes], ServerSettings],
    ) -> GeneratedClient:
        host = wish.host or before.host
        address = parse_host(host) if host else self._host_detection.detect_host()
        public_key, private_key = self._client_keys(wish.public_key)

        def with_client(settings: ServerSettings) -> ServerSettings:
            if wish.protocol is not None:
                require_served(settings, wish.protocol)
            settings = with_server_keys(settings, self._primitives, self._entropy)
            _require_new(settings, public_key)
            if address.ipv6 is not None:
                settings = _with_ipv6(settings)
            return admit(settings, public_key)

        after = self._configuration.update(with_client)
        peer = next(peer for peer in after.peers if peer.public_key == public_key)
        notes: list[Note] = []
        if not host:
            notes += _detection_notes(address)
        if not before.has_keys:
            notes.append(ServerKeysCreated())
        added = tuple(
            slot
            for (slot, old), (_, new) in zip(before.slots, after.slots, strict=True)
            if old.ipv6_subnet is None and new.ipv6_subnet is not None
        )
        if added:
            notes.append(Ipv6SubnetsAdded(added))
        if not peer.enabled:
            notes.append(PeerDisabled(peer.client_id))
        settings = client_settings(after, address, peer, private_key, wish.protocol)
        return GeneratedClient(settings, tuple(notes))

    def _client_keys(self, given: bytes | None) -> tuple[bytes, bytes]:
        """Public and private key; the private one is empty where the client keeps it."""
        if given is None:
            keys = new_key_pair(self._primitives, self._entropy)
            return keys.public, keys.private
        if len(given) != KEY_BYTES or not any(given):
            raise ClientKeyError(
                "the client's key is not a public key of 32 bytes in base64; 'tungo client keygen' prints one"
            )
        return given, b""


class EnsureServerKeys:
    """Gives a server that has never run its key pair."""

    def __init__(self, configuration: ServerConfiguration, primitives: Primitives, entropy: Entropy) -> None:
        self._configuration = configuration
        self._primitives = primitives
        self._entropy = entropy

    def ensure(self) -> ServerSettings:
        """The settings, with keys. Raises ConfigurationError."""
        settings = self._configuration.load_or_create()
        if settings.has_keys:
            return settings
        return self._configuration.update(
            lambda present: with_server_keys(present, self._primitives, self._entropy)
        )


def new_key_pair(primitives: Primitives, entropy: Entropy) -> KeyPair:
    """A fresh X25519 key pair."""
    return KeyPair.from_private(primitives, entropy.random_bytes(KEY_BYTES))


def with_server_keys(settings: ServerSettings, primitives: Primitives, entropy: Entropy) -> ServerSettings:
    """``settings`` with a key pair: the one that it has, else a new one."""
    if settings.has_keys:
        return settings
    keys = new_key_pair(primitives, entropy)
    return replace(settings, private_key=keys.private, public_key=keys.public)


def _detection_notes(address: ServerAddress) -> list[Note]:
    """``is_global`` and not ``is_private``: carrier-grade NAT (100.64.0.0/10) is neither."""
    return [
        PrivateHostDetected(detected)
        for detected in (address.ipv4, address.ipv6)
        if detected is not None and not detected.is_global
    ]


def _with_ipv6(settings: ServerSettings) -> ServerSettings:
    """Every profile that can carry IPv6 has a subnet for it.

    One whose MTU is too small stays as it is, as does one whose default subnet another profile has taken.
    """
    taken = [profile.ipv6_subnet for _, profile in settings.slots if profile.ipv6_subnet is not None]

    def extended(slot: TransportProtocol, profile: TransportProfile) -> TransportProfile:
        subnet = SLOT_DEFAULTS[slot].ipv6_subnet
        if profile.ipv6_subnet is not None or profile.mtu_bytes < SMALLEST_IPV6_MTU_BYTES:
            return profile
        if any(subnet.overlaps(other) for other in taken):
            return profile
        return replace(profile, ipv6_subnet=subnet)

    return settings.with_each(extended)


def _require_new(settings: ServerSettings, public_key: bytes) -> None:
    if public_key == settings.public_key:
        raise ClientKeyError("the client's key is the key of this server; a client has a key of its own")
    owner = next((peer for peer in settings.peers if peer.public_key == public_key), None)
    if owner is not None:
        raise ClientKeyError(
            f"the client's key is that of peer {owner.client_id} already; every client has a key of its own"
        )


def _with_peer(settings: ServerSettings, public_key: bytes, name: str | None) -> ServerSettings:
    """The new peer gets the smallest free number: a removed client's is used again.

    The counter is for the Go program, which issues counter + 1 unseen: it never lags behind a number in use.
    """
    taken = {peer.client_id for peer in settings.peers}
    last = min(
        last_client_id(subnet)
        for profile in settings.enabled_profiles()
        for subnet in (profile.ipv4_subnet, profile.ipv6_subnet)
        if subnet is not None
    )
    client_id = next((number for number in range(FIRST_CLIENT_ID, last + 1) if number not in taken), None)
    if client_id is None:
        raise NoFreeClientIdError(last)
    label = f"client-{client_id}" if name is None else checked_name(name, settings.peers)
    peer = Peer(public_key=public_key, client_id=client_id, name=label)
    return replace(
        settings,
        client_counter=max(settings.client_counter, client_id, *taken),
        peers=(*settings.peers, peer),
    )
