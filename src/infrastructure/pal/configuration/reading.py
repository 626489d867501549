"""Reading configurations: text to document to settings, with all problems of a file in one error."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from application.runtime.configuration import ConfigurationError
from domain.addressing.peers import Peer
from domain.settings.client import ClientSettings
from domain.settings.defaults import SLOT_DEFAULTS, default_server_profile
from domain.settings.errors import Problem, SettingsError
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from domain.settings.rules import PublicKeyOf, settings_path
from domain.settings.server import ServerSettings
from domain.settings.validation import validate_client, validate_server
from infrastructure.pal.configuration.files import parse_json, read_text
from infrastructure.pal.configuration.findings import validated
from infrastructure.pal.configuration.schema import (
    AddressDocument,
    ClientDocument,
    ProfileDocument,
    ServerDocument,
)

NO_SERVER_FILE: Final = "'tungo server gen' makes it together with a first client"
NO_CLIENT_FILE: Final = "run 'tungo server gen' on the server and save here what it prints"

_SLOTS: Final = (TransportProtocol.TCP, TransportProtocol.UDP, TransportProtocol.WS)


def read_server(path: Path, public_key_of: PublicKeyOf) -> ServerSettings:
    """The valid settings in a server file. Raises ConfigurationError, ConfigurationMissingError."""
    _, settings = parse_server(read_text(path, if_missing=NO_SERVER_FILE), str(path), public_key_of)
    return settings


def read_client(path: Path, public_key_of: PublicKeyOf) -> ClientSettings:
    """The valid settings in a client file. Raises ConfigurationError, ConfigurationMissingError."""
    return parse_client(read_text(path, if_missing=NO_CLIENT_FILE), str(path), public_key_of)


def parse_server(
    text_untrusted: str, source: str, public_key_of: PublicKeyOf
) -> tuple[ServerDocument, ServerSettings]:
    """The document, which knows the keys that the settings do not, and the valid settings in it.

    ``source`` names the text in messages. Raises ConfigurationError.
    """
    document, problems = validated(ServerDocument, parse_json(text_untrusted, source))
    settings = _server_settings(document)
    try:
        validate_server(settings, public_key_of)
    except SettingsError as exc:
        problems += _independent(exc.problems, [problem.path for problem in problems])
    if problems:
        if settings.host != document.host:
            problems = [_under_march_name(problem) for problem in problems]
        raise configuration_error(source, problems)
    return document, settings


def parse_client(text_untrusted: str, source: str, public_key_of: PublicKeyOf) -> ClientSettings:
    """The valid settings in a client document; ``source`` names it in messages. Raises ConfigurationError."""
    document, problems = validated(ClientDocument, parse_json(text_untrusted, source))
    broken = [problem.path for problem in problems]
    problems += (problem for problem in _gaps(document) if not any(map(problem.concerns, broken)))
    broken = [problem.path for problem in problems]
    if "Protocol" in broken:
        # Which profile is in use is not known, so none of them can be examined.
        broken += [settings_path(slot) for slot in _SLOTS]
    settings = _client_settings(document)
    try:
        validate_client(settings, public_key_of)
    except SettingsError as exc:
        problems += _independent(exc.problems, broken)
    if problems:
        raise configuration_error(source, problems)
    return settings


def configuration_error(source: str, problems: Iterable[Problem]) -> ConfigurationError:
    """One sentence per problem, each naming ``source``."""
    return ConfigurationError(*(f"{source}: {problem.sentence}." for problem in problems))


def _independent(problems: Iterable[Problem], broken: list[str]) -> list[Problem]:
    """The problems that do not come from a value that stands in for a broken one."""
    return [problem for problem in problems if not any(map(problem.concerns, broken))]


def _under_march_name(problem: Problem) -> Problem:
    return replace(problem, path="FallbackServerAddress") if problem.path == "Host" else problem


def _server_settings(document: ServerDocument) -> ServerSettings:
    switches = (
        (TransportProtocol.TCP, document.enable_tcp),
        (TransportProtocol.UDP, document.enable_udp),
        (TransportProtocol.WS, document.enable_ws),
    )
    host = document.host
    if not host.strip() and document.fallback_server_address.strip():
        host = document.fallback_server_address.strip()
    return ServerSettings(
        tcp=_server_profile(TransportProtocol.TCP, document.tcp),
        udp=_server_profile(TransportProtocol.UDP, document.udp),
        ws=_server_profile(TransportProtocol.WS, document.ws),
        enabled=frozenset(slot for slot, enabled in switches if enabled),
        host=host,
        public_key=document.public_key,
        private_key=document.private_key,
        client_counter=document.client_counter,
        peers=tuple(
            Peer(public_key=peer.public_key, client_id=peer.client_id, name=peer.name, enabled=peer.enabled)
            for peer in document.peers
        ),
    )


def _server_profile(slot: TransportProtocol, document: ProfileDocument) -> TransportProfile:
    """What is missing, empty or zero gets its default; the IPv6 subnet has none (specification 5)."""
    default = default_server_profile(slot)
    return TransportProfile(
        protocol=document.protocol or default.protocol,
        interface_name=document.tun_name or default.interface_name,
        ipv4_subnet=document.ipv4_subnet or default.ipv4_subnet,
        ipv6_subnet=document.ipv6_subnet,
        server=_address(document.server),
        port=document.port or default.port,
        mtu_bytes=document.mtu or default.mtu_bytes,
        dial_timeout_ms=document.dial_timeout_ms or default.dial_timeout_ms,
        dns_v4=tuple(document.dns_v4),
        dns_v6=tuple(document.dns_v6),
    )


def _client_settings(document: ClientDocument) -> ClientSettings:
    return ClientSettings(
        client_id=document.client_id,
        tcp=_client_profile(TransportProtocol.TCP, document.tcp),
        udp=_client_profile(TransportProtocol.UDP, document.udp),
        ws=_client_profile(TransportProtocol.WS, document.ws),
        protocol=document.protocol or TransportProtocol.UDP,
        server_public_key=document.server_public_key,
        public_key=document.public_key,
        private_key=document.private_key,
        rekey_interval_s=document.rekey_interval_s,
    )


def _gaps(document: ClientDocument) -> list[Problem]:
    """What a client file must say itself: there are no defaults for it (specification 5)."""
    if document.protocol is None:
        return [Problem("Protocol", "not set", "UDP, TCP, WS or WSS")]
    profiles = {
        TransportProtocol.TCP: document.tcp,
        TransportProtocol.UDP: document.udp,
        TransportProtocol.WS: document.ws,
        TransportProtocol.WSS: document.ws,
    }
    if profiles[document.protocol].ipv4_subnet is None:
        path = f"{settings_path(document.protocol)}.IPv4Subnet"
        return [Problem(path, "not set", "a subnet such as 10.0.1.0/24, for a tunnel always carries IPv4")]
    return []


def _client_profile(slot: TransportProtocol, document: ProfileDocument) -> TransportProfile:
    """A profile that is not in use may be empty: its IPv4 subnet is then that of a fresh server."""
    ipv4_subnet: IPv4Network = document.ipv4_subnet or SLOT_DEFAULTS[slot].ipv4_subnet
    return TransportProfile(
        protocol=document.protocol or slot,
        interface_name=document.tun_name,
        ipv4_subnet=ipv4_subnet,
        ipv6_subnet=document.ipv6_subnet,
        server=_address(document.server),
        port=document.port,
        mtu_bytes=document.mtu,
        dial_timeout_ms=document.dial_timeout_ms,
        dns_v4=tuple(document.dns_v4),
        dns_v6=tuple(document.dns_v6),
    )


def _address(document: AddressDocument) -> ServerAddress:
    return ServerAddress(domain=document.domain.strip(), ipv4=document.ipv4, ipv6=document.ipv6)
