"""Reading configurations: text to document to settings, with all problems of a file in one error."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from application.runtime.configuration import ConfigurationError
from domain.addressing.peers import Peer
from domain.settings.client import ClientSettings
from domain.settings.defaults import SLOT_DEFAULTS, default_server_profile
from domain.settings.errors import Problem, SettingsError
from domain.settings.offload import OffloadSettings
from domain.settings.profile import ServerAddress, TlsSettings, TransportProfile, TransportProtocol
from domain.settings.routing import TunnelRouting
from domain.settings.rules import PublicKeyOf, settings_path
from domain.settings.server import ServerSettings
from domain.settings.validation import validate_client, validate_server
from infrastructure.pal.configuration.environment import ENVIRONMENT, NO_OVERLAY, Overlay
from infrastructure.pal.configuration.files import folder_of, parse_json, path_in, read_text
from infrastructure.pal.configuration.findings import validated
from infrastructure.pal.configuration.schema import (
    AddressDocument,
    ClientDocument,
    OffloadDocument,
    ProfileDocument,
    ServerDocument,
    TlsDocument,
)

NO_SERVER_FILE: Final = "'tungo server gen' makes it together with a first client"
NO_CLIENT_FILE: Final = "run 'tungo server gen' on the server and save here what it prints"

_SLOTS: Final = (TransportProtocol.TCP, TransportProtocol.UDP, TransportProtocol.WS)


@dataclass(frozen=True, slots=True)
class ServerFile:
    """A server file: ``document`` also knows the keys that settings do not.

    ``stored`` is what the file says, ``settings`` what is in force, with what the environment lays over it.
    """

    document: ServerDocument
    stored: ServerSettings
    settings: ServerSettings


def read_server(path: Path, public_key_of: PublicKeyOf, overlay: Overlay = NO_OVERLAY) -> ServerSettings:
    """The valid settings in a server file. Raises ConfigurationError, ConfigurationMissingError."""
    text_untrusted = read_text(path, if_missing=NO_SERVER_FILE)
    return parse_server(text_untrusted, str(path), public_key_of, folder_of(path), overlay).settings


def read_client(path: Path, public_key_of: PublicKeyOf) -> ClientSettings:
    """The valid settings in a client file. Raises ConfigurationError, ConfigurationMissingError."""
    text_untrusted = read_text(path, if_missing=NO_CLIENT_FILE)
    return parse_client(text_untrusted, str(path), public_key_of, folder_of(path))


def parse_server(
    text_untrusted: str,
    source: str,
    public_key_of: PublicKeyOf,
    folder: Path,
    overlay: Overlay = NO_OVERLAY,
) -> ServerFile:
    """The file that says ``text_untrusted``; the settings in force are valid.

    ``source`` names the text in messages; its relative paths begin in ``folder``. Raises ConfigurationError,
    also for what is malformed in ``overlay``.
    """
    document, problems = validated(ServerDocument, parse_json(text_untrusted, source))
    stored = _server_settings(document, folder)
    settings = overlay.over(stored)
    broken = [problem.path for problem in problems]
    rules = _independent(server_problems(settings, public_key_of), broken)
    of_the_file = server_problems(stored, public_key_of) if overlay and rules else rules
    problems += (problem for problem in rules if problem in of_the_file)
    if stored.host != document.host:
        problems = [_under_march_name(problem) for problem in problems]
    laid_over = f"{source} with {', '.join(overlay.variables)} of {ENVIRONMENT}"
    sentences = (
        *_sentences(source, problems),
        *_sentences(laid_over, (problem for problem in rules if problem not in of_the_file)),
        *_sentences(ENVIRONMENT, overlay.problems),
    )
    if sentences:
        raise ConfigurationError(*sentences)
    return ServerFile(document, stored, settings)


def parse_client(
    text_untrusted: str, source: str, public_key_of: PublicKeyOf, folder: Path
) -> ClientSettings:
    """The valid settings in a client document.

    ``source`` names the text in messages; its relative paths begin in ``folder``. Raises ConfigurationError.
    """
    document, problems = validated(ClientDocument, parse_json(text_untrusted, source))
    broken = [problem.path for problem in problems]
    problems += (problem for problem in _gaps(document) if not any(map(problem.concerns, broken)))
    broken = [problem.path for problem in problems]
    if "Protocol" in broken:
        # Which profiles are in use is not known, so none of them can be examined.
        broken += [settings_path(slot) for slot in _SLOTS]
    settings = _client_settings(document, folder)
    try:
        validate_client(settings, public_key_of)
    except SettingsError as exc:
        problems += _independent(exc.problems, broken)
    if problems:
        raise configuration_error(source, problems)
    return settings


def configuration_error(source: str, problems: Iterable[Problem]) -> ConfigurationError:
    """One sentence per problem, each naming ``source``."""
    return ConfigurationError(*_sentences(source, problems))


def server_problems(settings: ServerSettings, public_key_of: PublicKeyOf) -> tuple[Problem, ...]:
    """Every rule that ``settings`` break."""
    try:
        validate_server(settings, public_key_of)
    except SettingsError as exc:
        return exc.problems
    return ()


def _sentences(source: str, problems: Iterable[Problem]) -> Iterator[str]:
    return (f"{source}: {problem.sentence}." for problem in problems)


def _independent(problems: Iterable[Problem], broken: list[str]) -> list[Problem]:
    """The problems that do not come from a value that stands in for a broken one."""
    return [problem for problem in problems if not any(map(problem.concerns, broken))]


def _under_march_name(problem: Problem) -> Problem:
    return replace(problem, path="FallbackServerAddress") if problem.path == "Host" else problem


def _server_settings(document: ServerDocument, folder: Path) -> ServerSettings:
    switches = (
        (TransportProtocol.TCP, document.enable_tcp),
        (TransportProtocol.UDP, document.enable_udp),
        (TransportProtocol.WS, document.enable_ws),
    )
    host = document.host
    if not host.strip() and document.fallback_server_address.strip():
        host = document.fallback_server_address.strip()
    return ServerSettings(
        tcp=_server_profile(TransportProtocol.TCP, document.tcp, folder),
        udp=_server_profile(TransportProtocol.UDP, document.udp, folder),
        ws=_server_profile(TransportProtocol.WS, document.ws, folder),
        enabled=frozenset(slot for slot, enabled in switches if enabled),
        host=host,
        public_key=document.public_key,
        private_key=document.private_key,
        client_counter=document.client_counter,
        peers=tuple(
            Peer(public_key=peer.public_key, client_id=peer.client_id, name=peer.name, enabled=peer.enabled)
            for peer in document.peers
        ),
        client_isolation=document.client_isolation,
        nat=document.nat,
        offload=_offload(document.offload),
        aggregation=document.aggregation,
    )


def _server_profile(slot: TransportProtocol, document: ProfileDocument, folder: Path) -> TransportProfile:
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
        tls=_tls(document.tls, folder),
        trusted_proxies=tuple(document.trusted_proxies),
    )


def _client_settings(document: ClientDocument, folder: Path) -> ClientSettings:
    return ClientSettings(
        client_id=document.client_id,
        tcp=_client_profile(TransportProtocol.TCP, document.tcp, folder),
        udp=_client_profile(TransportProtocol.UDP, document.udp, folder),
        ws=_client_profile(TransportProtocol.WS, document.ws, folder),
        protocol=document.protocol or TransportProtocol.UDP,
        server_public_key=document.server_public_key,
        public_key=document.public_key,
        private_key=document.private_key,
        rekey_interval_s=document.rekey_interval_s,
        fallbacks=tuple(document.fallbacks),
        fallback_retry_s=document.fallback_retry_s,
        routing=TunnelRouting(
            include=tuple(document.include),
            exclude=tuple(document.exclude),
            exclude_lan=document.exclude_lan,
            allow_ipv6_leak=document.allow_ipv6_leak,
            kill_switch=document.kill_switch,
            allow_lan=document.allow_lan,
        ),
        offload=_offload(document.offload),
        aggregation=document.aggregation,
    )


def _gaps(document: ClientDocument) -> list[Problem]:
    """What a client file must say itself: there are no defaults for it (specification 5)."""
    if document.protocol is None:
        return [Problem("Protocol", "not set", "UDP, TCP, WS or WSS")]
    profiles = {
        TransportProtocol.TCP: document.tcp,
        TransportProtocol.UDP: document.udp,
        TransportProtocol.WS: document.ws,
    }
    paths = {
        f"{settings_path(protocol)}.IPv4Subnet": None
        for protocol in (document.protocol, *document.fallbacks)
        if profiles[protocol.slot].ipv4_subnet is None
    }
    expected = "a subnet such as 10.0.1.0/24, for a tunnel always carries IPv4"
    return [Problem(path, "not set", expected) for path in paths]


def _client_profile(slot: TransportProtocol, document: ProfileDocument, folder: Path) -> TransportProfile:
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
        tls=_tls(document.tls, folder),
        trusted_proxies=tuple(document.trusted_proxies),
    )


def _offload(document: OffloadDocument) -> OffloadSettings:
    return OffloadSettings(
        tun_segmentation=document.tun_segmentation,
        udp_segmentation=document.udp_segmentation,
        udp_coalescing=document.udp_coalescing,
    )


def _tls(document: TlsDocument, folder: Path) -> TlsSettings:
    return TlsSettings(
        ca_file=path_in(folder, document.ca_file),
        pinned_certificate=document.pinned_certificate,
        server_name=document.server_name.strip() or None,
        certificate_file=path_in(folder, document.certificate_file),
        key_file=path_in(folder, document.key_file),
    )


def _address(document: AddressDocument) -> ServerAddress:
    return ServerAddress(domain=document.domain.strip(), ipv4=document.ipv4, ipv6=document.ipv6)
