"""Writing configurations in the layout of the Go program, whose readers they must suit as well.

Keys stand in the order of platform specification 2 and 3. Those that are ours follow, where they say anything
but the default, and then those that this program does not know, in the order in which they were found.
"""

import base64
import json
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, TypeAlias

from domain.addressing.peers import Peer
from domain.settings.client import DEFAULT_FALLBACK_RETRY_S, DEFAULT_REKEY_INTERVAL_S, ClientSettings
from domain.settings.offload import OffloadMode, OffloadSettings
from domain.settings.profile import ServerAddress, TlsSettings, TransportProfile, TransportProtocol
from domain.settings.routing import TunnelRouting
from domain.settings.server import ServerSettings
from infrastructure.pal.configuration.files import path_in
from infrastructure.pal.configuration.notation import ENCRYPTION
from infrastructure.pal.configuration.schema import (
    AddressDocument,
    ClientDocument,
    JsonObject,
    OffloadDocument,
    PeerDocument,
    ProfileDocument,
    ServerDocument,
    TlsDocument,
)

# Specification 2 and 3: server files are indented with tabs, generated client files with two spaces.
_SERVER_INDENT: Final = "\t"
_CLIENT_INDENT: Final = 2

_Object: TypeAlias = dict[str, object]


def server_json(settings: ServerSettings, found: ServerDocument | None = None, folder: Path = Path()) -> str:
    """The text of a server file, without a final newline.

    ``found`` is the document that is being replaced: its unknown keys are kept, those of a peer as long as
    there is a peer with this public key. So are its relative paths, which begin in ``folder``, unless the
    settings have others.
    """
    found = found or ServerDocument()
    peers_found = {peer.public_key: peer for peer in found.peers}
    document: _Object = {
        "TCPSettings": _profile(settings.tcp, found.tcp, folder),
        "UDPSettings": _profile(settings.udp, found.udp, folder),
        "WSSettings": _profile(settings.ws, found.ws, folder),
        "Host": settings.host,
        "X25519PublicKey": _key(settings.public_key),
        "X25519PrivateKey": _key(settings.private_key),
        "ClientCounter": settings.client_counter,
        "EnableTCP": TransportProtocol.TCP in settings.enabled,
        "EnableUDP": TransportProtocol.UDP in settings.enabled,
        "EnableWS": TransportProtocol.WS in settings.enabled,
        "AllowedPeers": [_peer(peer, peers_found.get(peer.public_key)) for peer in settings.peers] or None,
    }
    if settings.client_isolation:
        document["ClientIsolation"] = True
    if not settings.nat:
        document["NAT"] = False
    document |= _data_plane(settings, found)
    document = _with_unknown_keys(document, found)
    return json.dumps(document, indent=_SERVER_INDENT, ensure_ascii=False)


def client_json(settings: ClientSettings, found: ClientDocument | None = None, folder: Path = Path()) -> str:
    """The text of a client file, without a final newline. It holds the client's private key.

    ``found`` and ``folder`` are as for a server file.
    """
    found = found or ClientDocument()
    document: _Object = {
        "ClientID": settings.client_id,
        "TCPSettings": _profile(settings.tcp, found.tcp, folder),
        "UDPSettings": _profile(settings.udp, found.udp, folder),
        "WSSettings": _profile(settings.ws, found.ws, folder),
        "X25519PublicKey": _key(settings.server_public_key),
        "Protocol": settings.protocol.value,
        "ClientPublicKey": _key(settings.public_key),
        "ClientPrivateKey": _key(settings.private_key),
    }
    if settings.rekey_interval_s != DEFAULT_REKEY_INTERVAL_S:
        document["RekeyIntervalSeconds"] = settings.rekey_interval_s
    if settings.fallbacks:
        document["FallbackProtocols"] = [protocol.value for protocol in settings.fallbacks]
    if settings.fallback_retry_s != DEFAULT_FALLBACK_RETRY_S:
        document["FallbackRetrySeconds"] = settings.fallback_retry_s
    document |= _routing(settings.routing)
    document |= _data_plane(settings, found)
    document = _with_unknown_keys(document, found)
    return json.dumps(document, indent=_CLIENT_INDENT, ensure_ascii=False)


def _routing(routing: TunnelRouting) -> _Object:
    document: _Object = {}
    if routing.include:
        document["Include"] = [_network(network) for network in routing.include]
    if routing.exclude:
        document["Exclude"] = [_network(network) for network in routing.exclude]
    if not routing.exclude_lan:
        document["ExcludeLAN"] = False
    if routing.allow_ipv6_leak:
        document["AllowIPv6Leak"] = True
    if routing.kill_switch:
        document["KillSwitch"] = True
    if not routing.allow_lan:
        document["AllowLAN"] = False
    return document


def _data_plane(settings: ServerSettings | ClientSettings, found: ServerDocument | ClientDocument) -> _Object:
    document: _Object = {}
    offload = _offload(settings.offload, found.offload)
    if offload:
        document["Offload"] = offload
    if not settings.aggregation:
        document["Aggregation"] = False
    return document


def _offload(offload: OffloadSettings, found: OffloadDocument) -> _Object:
    modes = {
        "TunSegmentation": offload.tun_segmentation,
        "UdpSegmentation": offload.udp_segmentation,
        "UdpCoalescing": offload.udp_coalescing,
    }
    document: _Object = {key: mode.value for key, mode in modes.items() if mode is not OffloadMode.AUTO}
    return _with_unknown_keys(document, found)


def _profile(profile: TransportProfile, found: ProfileDocument, folder: Path) -> _Object:
    document: _Object = {"TunName": profile.interface_name, "IPv4Subnet": str(profile.ipv4_subnet)}
    if profile.ipv6_subnet is not None:
        document["IPv6Subnet"] = str(profile.ipv6_subnet)
    server = _address(profile.server, found.server)
    if server:
        document["Server"] = server
    if profile.port:
        document["Port"] = profile.port
    if profile.dns_v4:
        document["DNSv4"] = [str(address) for address in profile.dns_v4]
    if profile.dns_v6:
        document["DNSv6"] = [str(address) for address in profile.dns_v6]
    document["MTU"] = profile.mtu_bytes
    document["Protocol"] = profile.protocol.value
    document["Encryption"] = ENCRYPTION
    document["DialTimeoutMs"] = profile.dial_timeout_ms
    tls = _tls(profile.tls, found.tls, folder)
    if tls:
        document["TLS"] = tls
    if profile.trusted_proxies:
        document["TrustedProxies"] = [_network(network) for network in profile.trusted_proxies]
    return _with_unknown_keys(document, found)


def _tls(tls: TlsSettings, found: TlsDocument, folder: Path) -> _Object:
    document: _Object = {}
    if tls.ca_file is not None:
        document["CAFile"] = _file(tls.ca_file, found.ca_file, folder)
    if tls.pinned_certificate is not None:
        document["PinnedCertificate"] = tls.pinned_certificate.hex()
    if tls.server_name is not None:
        document["ServerName"] = tls.server_name
    if tls.certificate_file is not None:
        document["CertificateFile"] = _file(tls.certificate_file, found.certificate_file, folder)
    if tls.key_file is not None:
        document["KeyFile"] = _file(tls.key_file, found.key_file, folder)
    return _with_unknown_keys(document, found)


def _file(path: str, found: str, folder: Path) -> str:
    return found if path == path_in(folder, found) else path


def _network(network: IPv4Network | IPv6Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _address(address: ServerAddress, found: AddressDocument) -> _Object:
    document: _Object = {}
    if address.domain:
        document["Domain"] = address.domain
    if address.ipv4 is not None:
        document["IPv4"] = str(address.ipv4)
    if address.ipv6 is not None:
        document["IPv6"] = str(address.ipv6)
    return _with_unknown_keys(document, found)


def _peer(peer: Peer, found: PeerDocument | None) -> _Object:
    document: _Object = {"Name": peer.name} if peer.name else {}
    document["PublicKey"] = _key(peer.public_key)
    document["Enabled"] = peer.enabled
    document["ClientID"] = peer.client_id
    return _with_unknown_keys(document, found) if found is not None else document


def _with_unknown_keys(document: _Object, found: JsonObject) -> _Object:
    return {**document, **(found.model_extra or {})}


def _key(key: bytes) -> str | None:
    return base64.b64encode(key).decode("ascii") if key else None
