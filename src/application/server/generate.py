"""Use case: admit a new client and write its settings (platform specification 11, with its defects left out).

Errors::

    GenerationError
    ├── NoFreeClientIdError    every number that fits the subnets is taken
    └── NotServedError         the server does not speak the protocol that was asked for

``ConfigurationError`` and ``HostUnknownError`` pass through. Whatever fails, nothing has been changed: the
server's key pair, the IPv6 subnets and the new peer are stored in one step.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from application.runtime.configuration import HostDetection, ServerConfiguration
from application.runtime.entropy import Entropy
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
    TlsSettings,
    TransportProfile,
    TransportProtocol,
)
from domain.settings.server import ServerSettings

# Ours: a full packet becomes a datagram of 1400 + 36 bytes of frame + 48 of IPv6 and UDP = 1484 bytes, which
# fits the 1492 of PPPoE; and it is not below 1280, so that IPv6 works in the tunnel, unlike with the Go
# program's 1200.
UDP_CLIENT_MTU_BYTES: Final = 1400


class GenerationError(Exception):
    """No client could be made."""


class NoFreeClientIdError(GenerationError):
    """Every client id up to ``last_client_id`` is taken; a larger subnet has more."""

    def __init__(self, last_client_id: int) -> None:
        self.last_client_id = last_client_id
        super().__init__(
            f"all {last_client_id} client numbers that fit the tunnel subnets are taken; remove a peer or "
            f"give the enabled transports larger subnets"
        )


class NotServedError(GenerationError):
    """The server has no listener for ``protocol``; ``advice`` names the keys in its file that matter."""

    def __init__(self, protocol: TransportProtocol, advice: str) -> None:
        self.protocol = protocol
        self.advice = advice
        super().__init__(f"this server does not serve {protocol.value}; {advice}")


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


Note: TypeAlias = PrivateHostDetected | Ipv6SubnetsAdded | ServerKeysCreated


@dataclass(frozen=True, slots=True)
class GeneratedClient:
    """A new client's settings, and what the person who asked for them should know."""

    settings: ClientSettings
    notes: tuple[Note, ...]


class GenerateClient:
    """Admits a new client to the server's configuration and makes its settings.

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

    def generate(
        self,
        *,
        host: str | None = None,
        name: str | None = None,
        protocol: TransportProtocol | None = None,
    ) -> GeneratedClient:
        """One new client.

        ``host`` is what the client connects to, None for the configured or detected address; ``name`` labels
        the peer, None for ``client-<number>``; ``protocol`` is what it connects with, None for the first that
        is served of UDP, TCP and WebSocket. The others that are served are what it falls back to. Raises
        NoFreeClientIdError, NotServedError, ConfigurationError, HostError, HostUnknownError.
        """
        before = self._configuration.load_or_create()
        host = host or before.host
        address = parse_host(host) if host else self._host_detection.detect_host()
        keys = new_key_pair(self._primitives, self._entropy)

        def admit(settings: ServerSettings) -> ServerSettings:
            if protocol is not None:
                _require_served(settings, protocol)
            settings = with_server_keys(settings, self._primitives, self._entropy)
            if address.ipv6 is not None:
                settings = _with_ipv6(settings)
            return _with_peer(settings, keys.public, name)

        after = self._configuration.update(admit)
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
        return GeneratedClient(_client(after, address, keys, protocol), tuple(notes))


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

    return replace(
        settings,
        tcp=extended(TransportProtocol.TCP, settings.tcp),
        udp=extended(TransportProtocol.UDP, settings.udp),
        ws=extended(TransportProtocol.WS, settings.ws),
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
    peer = Peer(public_key=public_key, client_id=client_id, name=name or f"client-{client_id}")
    return replace(
        settings,
        client_counter=max(settings.client_counter, client_id, *taken),
        peers=(*settings.peers, peer),
    )


def _client(
    settings: ServerSettings, address: ServerAddress, keys: KeyPair, protocol: TransportProtocol | None
) -> ClientSettings:
    """The settings of the peer with these keys; disabled transports are in them too."""
    served = _served(settings)
    protocol = protocol or served[0]
    peer = next(peer for peer in settings.peers if peer.public_key == keys.public)
    return ClientSettings(
        client_id=peer.client_id,
        tcp=_client_profile(TransportProtocol.TCP, settings.tcp, address),
        udp=_client_profile(TransportProtocol.UDP, settings.udp, address),
        ws=_client_profile(TransportProtocol.WS, settings.ws, address),
        protocol=protocol,
        server_public_key=settings.public_key,
        public_key=keys.public,
        private_key=keys.private,
        fallbacks=tuple(other for other in served if other is not protocol),
    )


def _client_profile(
    slot: TransportProtocol, profile: TransportProfile, address: ServerAddress
) -> TransportProfile:
    """What only the server has to know, its certificate and its proxies, is left out."""
    mtu_bytes = profile.mtu_bytes
    if slot is TransportProtocol.UDP:
        mtu_bytes = min(mtu_bytes, UDP_CLIENT_MTU_BYTES)
    return replace(
        profile,
        protocol=_websocket(profile) if slot is TransportProtocol.WS else slot,
        interface_name=SLOT_DEFAULTS[slot].client_interface,
        server=address,
        mtu_bytes=mtu_bytes,
        dns_v4=(),
        dns_v6=(),
        tls=TlsSettings(),
        trusted_proxies=(),
    )


def _served(settings: ServerSettings) -> tuple[TransportProtocol, ...]:
    """What the listeners speak, the cheapest for a packet first; valid settings have one at least."""
    order = (TransportProtocol.UDP, TransportProtocol.TCP, _websocket(settings.ws))
    return tuple(protocol for protocol in order if protocol.slot in settings.enabled)


def _websocket(profile: TransportProfile) -> TransportProtocol:
    return TransportProtocol.WSS if profile.tls.serves else TransportProtocol.WS


def _require_served(settings: ServerSettings, protocol: TransportProtocol) -> None:
    if protocol in _served(settings):
        return
    advice = []
    if protocol.slot not in settings.enabled:
        advice.append(f"set Enable{protocol.slot.value} to true")
    if protocol is TransportProtocol.WSS and not settings.ws.tls.serves:
        advice.append("set CertificateFile and KeyFile in WSSettings.TLS")
    if protocol is TransportProtocol.WS and settings.ws.tls.serves:
        advice.append("ask for WSS or take CertificateFile and KeyFile out of WSSettings.TLS")
    raise NotServedError(protocol, " and ".join(advice))
