"""Whether settings can work: the rules of platform specification 6 and those that the Go program leaves out.

The rules that are ours: interface names that Linux takes, an MTU that fits the packet buffers and the address
families, subnets without host bits (already in the types), a profile's protocol in its own slot, at least one
transport, client ids that have addresses, key pairs that fit, and host names that can be looked up.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations
from typing import TypeAlias

from domain.addressing.tunnel import FIRST_CLIENT_ID, ClientIdError, client_addresses, last_client_id
from domain.settings.client import LONGEST_REKEY_INTERVAL_S, ClientSettings
from domain.settings.errors import Problem, SettingsError, shown
from domain.settings.host import DOMAIN_EXPECTATION, HOST_EXPECTATION, HostError, is_domain, parse_host
from domain.settings.profile import (
    SMALLEST_IPV4_MTU_BYTES,
    SMALLEST_IPV6_MTU_BYTES,
    TransportProfile,
    TransportProtocol,
)
from domain.settings.rules import (
    PublicKeyOf,
    interface_name_problems,
    key_pair_problems,
    key_problems,
    mtu_problems,
    port_problems,
    settings_path,
)
from domain.settings.server import ServerSettings

_Slot: TypeAlias = tuple[TransportProtocol, TransportProfile]


def validate_server(settings: ServerSettings, public_key_of: PublicKeyOf) -> None:
    """Raises SettingsError with every Problem that ``settings`` have."""
    _raise_any(_server_problems(settings, public_key_of))


def validate_client(settings: ClientSettings, public_key_of: PublicKeyOf) -> None:
    """Raises SettingsError with every Problem that ``settings`` have; only the active profile is examined."""
    _raise_any(_client_problems(settings, public_key_of))


def _raise_any(problems: Iterator[Problem]) -> None:
    found = tuple(problems)
    if found:
        raise SettingsError(found)


def _server_problems(settings: ServerSettings, public_key_of: PublicKeyOf) -> Iterator[Problem]:
    yield from _host_problems(settings.host)
    yield from _interface_problems(settings)
    enabled = [(slot, profile) for slot, profile in settings.slots if slot in settings.enabled]
    if not enabled:
        switches = tuple(f"Enable{slot.value}" for slot, _ in settings.slots)
        expected = f"at least one of {', '.join(switches)} to be true"
        yield Problem("EnableUDP", "false", expected, related=switches)
    for slot, profile in enabled:
        yield from _listener_problems(slot, profile)
    yield from _clash_problems(enabled)
    if settings.public_key or settings.private_key:
        yield from key_pair_problems(
            "X25519PublicKey", settings.public_key, "X25519PrivateKey", settings.private_key, public_key_of
        )
    if settings.client_counter < 0:
        yield Problem("ClientCounter", shown(settings.client_counter), "0 or more")
    yield from _peer_problems(settings, enabled)


def _host_problems(host: str) -> Iterator[Problem]:
    if not host:
        return
    try:
        parse_host(host)
    except HostError:
        yield Problem("Host", shown(host), f"{HOST_EXPECTATION}, or nothing at all to have it detected")


def _interface_problems(settings: ServerSettings) -> Iterator[Problem]:
    """Disabled profiles count: a client's file is made from them too."""
    seen: dict[str, str] = {}
    for slot, profile in settings.slots:
        path = settings_path(slot)
        yield from interface_name_problems(path, profile.interface_name)
        owner = seen.setdefault(profile.interface_name, path)
        if owner != path:
            yield Problem(
                f"{path}.TunName",
                shown(profile.interface_name),
                f"a name that {owner} does not use",
                related=(f"{owner}.TunName",),
            )


def _listener_problems(slot: TransportProtocol, profile: TransportProfile) -> Iterator[Problem]:
    path = settings_path(slot)
    if profile.protocol is not slot:
        yield Problem(f"{path}.Protocol", shown(profile.protocol.value), f"{slot.value}, as in its name")
    yield from port_problems(path, profile.port)
    yield from mtu_problems(path, profile, smallest_with_ipv6=SMALLEST_IPV6_MTU_BYTES)
    for key, subnet in (("IPv4Subnet", profile.ipv4_subnet), ("IPv6Subnet", profile.ipv6_subnet)):
        if subnet is not None and last_client_id(subnet) < FIRST_CLIENT_ID:
            yield Problem(f"{path}.{key}", str(subnet), "a subnet with room for the server and a client")
    bind = profile.server
    if bind.domain and bind.ipv4 is None and bind.ipv6 is None:
        yield Problem(
            f"{path}.Server.Domain", shown(bind.domain), "an IPv4 or IPv6 address to bind, or nothing"
        )


def _clash_problems(enabled: list[_Slot]) -> Iterator[Problem]:
    """Enabled profiles share neither a port nor a tunnel address; disabled ones may."""
    for (slot, profile), (other_slot, other) in combinations(enabled, 2):
        path, other_path = settings_path(slot), settings_path(other_slot)
        if profile.port == other.port:
            yield Problem(
                f"{other_path}.Port",
                shown(other.port),
                f"a port that {path} does not use",
                related=(f"{path}.Port",),
            )
        if profile.ipv4_subnet.overlaps(other.ipv4_subnet):
            yield _overlap_problem(path, other_path, "IPv4Subnet", str(other.ipv4_subnet))
        if profile.ipv6_subnet and other.ipv6_subnet and profile.ipv6_subnet.overlaps(other.ipv6_subnet):
            yield _overlap_problem(path, other_path, "IPv6Subnet", str(other.ipv6_subnet))


def _overlap_problem(path: str, other_path: str, key: str, subnet: str) -> Problem:
    return Problem(
        f"{other_path}.{key}",
        subnet,
        f"a subnet that does not overlap with {path}",
        related=(f"{path}.{key}",),
    )


def _peer_problems(settings: ServerSettings, enabled: list[_Slot]) -> Iterator[Problem]:
    keys: dict[bytes, str] = {}
    client_ids: dict[int, str] = {}
    for index, peer in enumerate(settings.peers):
        path = f"AllowedPeers[{index}]"
        yield from key_problems(f"{path}.PublicKey", peer.public_key)
        owner = keys.setdefault(peer.public_key, path)
        if owner != path:
            yield Problem(f"{path}.PublicKey", "a key in use", f"a key that {owner} does not have")
        owner = client_ids.setdefault(peer.client_id, path)
        if owner != path:
            yield Problem(f"{path}.ClientID", shown(peer.client_id), f"a number that {owner} does not have")
        if peer.client_id < FIRST_CLIENT_ID:
            yield Problem(f"{path}.ClientID", shown(peer.client_id), f"{FIRST_CLIENT_ID} or more")
            continue
        for slot, profile in enabled:
            yield from _client_id_problems(f"{path}.ClientID", peer.client_id, settings_path(slot), profile)


def _client_id_problems(
    path: str, client_id: int, profile_path: str, profile: TransportProfile
) -> Iterator[Problem]:
    try:
        client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, client_id)
    except ClientIdError as exc:
        key = "IPv4Subnet" if isinstance(exc.subnet, IPv4Network) else "IPv6Subnet"
        yield Problem(
            path,
            shown(client_id),
            f"{exc.expected}, the subnet of {profile_path}",
            related=(f"{profile_path}.{key}",),
        )


def _client_problems(settings: ClientSettings, public_key_of: PublicKeyOf) -> Iterator[Problem]:
    path, profile = settings_path(settings.active_slot), settings.active
    if settings.client_id < FIRST_CLIENT_ID:
        yield Problem("ClientID", shown(settings.client_id), f"{FIRST_CLIENT_ID} or more")
    else:
        yield from _client_id_problems("ClientID", settings.client_id, path, profile)
    yield from key_problems("X25519PublicKey", settings.server_public_key)
    yield from key_pair_problems(
        "ClientPublicKey", settings.public_key, "ClientPrivateKey", settings.private_key, public_key_of
    )
    if not 1 <= settings.rekey_interval_s <= LONGEST_REKEY_INTERVAL_S:
        expected = f"1 to {LONGEST_REKEY_INTERVAL_S} seconds"
        yield Problem("RekeyIntervalSeconds", shown(settings.rekey_interval_s), expected)
    yield from interface_name_problems(path, profile.interface_name)
    if not profile.server:
        yield Problem(f"{path}.Server", "empty", "Domain, IPv4 or IPv6 to say where the server is")
    if profile.server.domain and not is_domain(profile.server.domain):
        yield Problem(f"{path}.Server.Domain", shown(profile.server.domain), DOMAIN_EXPECTATION)
    yield from port_problems(path, profile.port, first=0 if profile.protocol is TransportProtocol.WSS else 1)
    # Below 1280 is allowed with IPv6, for the Go program writes 1200: `interface_mtu_bytes` raises it.
    yield from mtu_problems(path, profile, smallest_with_ipv6=SMALLEST_IPV4_MTU_BYTES)
