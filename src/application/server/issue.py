"""From a server's settings to those of one of its clients (platform specification 11.1, steps 6 and 7).

Errors::

    GenerationError
    ├── NotServedError         the server does not speak the protocol that was asked for
    ├── NoFreeClientIdError    every number that fits the subnets is taken       (``generate``)
    └── ClientKeyError         the public key that was given is not to be used   (``generate``)
"""

from dataclasses import replace
from typing import Final

from domain.addressing.peers import Peer
from domain.settings.client import ClientSettings
from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.profile import ServerAddress, TlsSettings, TransportProfile, TransportProtocol
from domain.settings.server import ServerSettings

# Ours: a full packet becomes a datagram of 1400 + 36 bytes of frame + 48 of IPv6 and UDP = 1484 bytes, which
# fits the 1492 of PPPoE; and it is not below 1280, so that IPv6 works in the tunnel, unlike with the Go
# program's 1200.
UDP_CLIENT_MTU_BYTES: Final = 1400


class GenerationError(Exception):
    """No client could be made."""


class NotServedError(GenerationError):
    """The server has no listener for ``protocol``; ``advice`` names the keys in its file that matter."""

    def __init__(self, protocol: TransportProtocol, advice: str) -> None:
        self.protocol = protocol
        self.advice = advice
        super().__init__(f"this server does not serve {protocol.value}; {advice}")


def client_settings(
    settings: ServerSettings,
    address: ServerAddress,
    peer: Peer,
    private_key: bytes,
    protocol: TransportProtocol | None = None,
) -> ClientSettings:
    """What ``peer`` needs to connect to ``address``; disabled transports are in it too.

    ``private_key`` is empty where the client keeps it to itself. ``protocol`` is what it connects with, None
    for the first of what is served; the others that are served are what it falls back to. Raises
    NotServedError.
    """
    served = _served(settings)
    if protocol is not None:
        require_served(settings, protocol)
    protocol = protocol or served[0]
    return ClientSettings(
        client_id=peer.client_id,
        tcp=_client_profile(TransportProtocol.TCP, settings.tcp, address),
        udp=_client_profile(TransportProtocol.UDP, settings.udp, address),
        ws=_client_profile(TransportProtocol.WS, settings.ws, address),
        protocol=protocol,
        server_public_key=settings.public_key,
        public_key=peer.public_key,
        private_key=private_key,
        fallbacks=tuple(other for other in served if other is not protocol),
    )


def require_served(settings: ServerSettings, protocol: TransportProtocol) -> None:
    """Raises NotServedError unless there is a listener that speaks ``protocol``."""
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
