"""Whether settings can work: the rules of platform specification 6 and those that the Go program leaves out.

The rules that are ours: interface names that Linux takes, an MTU that fits the packet buffers and the address
families, subnets without host bits (already in the types), a profile's protocol in its own slot, at least one
transport, client ids that have addresses, key pairs that fit, host names that can be looked up, and whatever
concerns the settings that are ours themselves.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from itertools import combinations
from typing import TypeAlias

from domain.addressing.peers import Peer
from domain.addressing.split import Network
from domain.addressing.tunnel import FIRST_CLIENT_ID, ClientIdError, client_addresses, last_client_id
from domain.noise.primitives import KEY_BYTES
from domain.settings.client import LONGEST_FALLBACK_RETRY_S, LONGEST_REKEY_INTERVAL_S, ClientSettings
from domain.settings.errors import Problem, SettingsError, shown
from domain.settings.host import DOMAIN_EXPECTATION, HOST_EXPECTATION, HostError, is_domain, parse_host
from domain.settings.profile import (
    SMALLEST_IPV4_MTU_BYTES,
    SMALLEST_IPV6_MTU_BYTES,
    TransportProfile,
    TransportProtocol,
)
from domain.settings.routing import TunnelRouting
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
from domain.settings.websocket_rules import (
    dialled_extra_problems,
    listener_extra_problems,
    listener_protocol_problems,
)

_Slot: TypeAlias = tuple[TransportProtocol, TransportProfile]


def validate_server(settings: ServerSettings, public_key_of: PublicKeyOf) -> None:
    """Raises SettingsError with every Problem that ``settings`` have."""
    _raise_any(_server_problems(settings, public_key_of))


def validate_client(settings: ClientSettings, public_key_of: PublicKeyOf) -> None:
    """Raises SettingsError with every Problem that ``settings`` have.

    Of the profiles, those of ``protocols`` are examined.
    """
    _raise_any(_client_problems(settings, public_key_of))


def _raise_any(problems: Iterator[Problem]) -> None:
    found = tuple(problems)
    if found:
        raise SettingsError(found)


def _server_problems(settings: ServerSettings, public_key_of: PublicKeyOf) -> Iterator[Problem]:
    yield from _host_problems(settings.host)
    # Disabled profiles count: a client's file is made from them too.
    yield from _interface_problems(settings.slots)
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


def _interface_problems(profiles: Iterable[_Slot]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for slot, profile in profiles:
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
    yield from listener_protocol_problems(path, slot, profile)
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
    yield from listener_extra_problems(path, slot, profile)


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
    last_in_all = min(
        (
            last_client_id(subnet)
            for _, profile in enabled
            for subnet in (profile.ipv4_subnet, profile.ipv6_subnet)
            if subnet is not None
        ),
        default=None,
    )
    keys: dict[bytes, int] = {}
    client_ids: dict[int, int] = {}
    for index, peer in enumerate(settings.peers):
        key_owner = keys.setdefault(peer.public_key, index)
        id_owner = client_ids.setdefault(peer.client_id, index)
        if (
            len(peer.public_key) == KEY_BYTES
            and key_owner == id_owner == index
            and peer.client_id >= FIRST_CLIENT_ID
            and (last_in_all is None or peer.client_id <= last_in_all)
        ):
            continue  # of ten thousand peers nearly all are like this
        yield from _one_peer_problems(index, peer, key_owner, id_owner, enabled)


def _one_peer_problems(
    index: int, peer: Peer, key_owner: int, id_owner: int, enabled: list[_Slot]
) -> Iterator[Problem]:
    """``key_owner`` and ``id_owner`` are the first peers that have the key and the number of this one."""
    path = f"AllowedPeers[{index}]"
    yield from key_problems(f"{path}.PublicKey", peer.public_key)
    if key_owner != index:
        expected = f"a key that AllowedPeers[{key_owner}] does not have"
        yield Problem(f"{path}.PublicKey", "a key in use", expected)
    if id_owner != index:
        expected = f"a number that AllowedPeers[{id_owner}] does not have"
        yield Problem(f"{path}.ClientID", shown(peer.client_id), expected)
    if peer.client_id < FIRST_CLIENT_ID:
        yield Problem(f"{path}.ClientID", shown(peer.client_id), f"{FIRST_CLIENT_ID} or more")
        return
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
    in_use = _in_use(settings)
    if settings.client_id < FIRST_CLIENT_ID:
        yield Problem("ClientID", shown(settings.client_id), f"{FIRST_CLIENT_ID} or more")
    else:
        for slot, profile in in_use:
            yield from _client_id_problems("ClientID", settings.client_id, settings_path(slot), profile)
    yield from key_problems("X25519PublicKey", settings.server_public_key)
    yield from key_pair_problems(
        "ClientPublicKey", settings.public_key, "ClientPrivateKey", settings.private_key, public_key_of
    )
    yield from _seconds_problems(
        "RekeyIntervalSeconds", settings.rekey_interval_s, longest_s=LONGEST_REKEY_INTERVAL_S
    )
    yield from _fallback_problems(settings)
    yield from _seconds_problems(
        "FallbackRetrySeconds", settings.fallback_retry_s, longest_s=LONGEST_FALLBACK_RETRY_S
    )
    yield from _routing_problems(settings.routing, {4} | {6 for _, profile in in_use if profile.ipv6_subnet})
    # Firewalls, and the people who write their rules, tell the transports apart by the name.
    yield from _interface_problems(in_use)
    for slot, profile in in_use:
        yield from _dialled_problems(slot, profile)


def _in_use(settings: ClientSettings) -> tuple[_Slot, ...]:
    """The profiles of ``protocols``, each once."""
    profiles: dict[TransportProtocol, TransportProfile] = {}
    for protocol in settings.protocols:
        profiles.setdefault(protocol.slot, settings.profile_of(protocol))
    return tuple(profiles.items())


def _seconds_problems(path: str, seconds: int, *, longest_s: int) -> Iterator[Problem]:
    if not 1 <= seconds <= longest_s:
        yield Problem(path, shown(seconds), f"1 to {longest_s} seconds")


def _fallback_problems(settings: ClientSettings) -> Iterator[Problem]:
    """Every fallback is another way to the server; WS and WSS have one profile, so that only one can be."""
    owners = {settings.protocol.slot: ("Protocol", settings.protocol)}
    for index, protocol in enumerate(settings.fallbacks):
        path = f"FallbackProtocols[{index}]"
        owner, theirs = owners.setdefault(protocol.slot, (path, protocol))
        if owner == path:
            continue
        expected = f"a protocol that {owner} does not name"
        if theirs is not protocol:
            expected = f"no {protocol.value} beside the {theirs.value} of {owner}: they share WSSettings"
        yield Problem(path, shown(protocol.value), expected, related=(owner,))


def _routing_problems(routing: TunnelRouting, carried_versions: set[int]) -> Iterator[Problem]:
    """Something must be left for the tunnel, of an IP version that it carries."""
    if carried_versions & {network.version for network in routing.split.into_tunnel}:
        return
    if routing.include and not carried_versions & {network.version for network in routing.include}:
        yield Problem("Include", _listed(routing.include), "an IPv4 network, for the tunnel carries no IPv6")
    else:
        expected = "networks that leave something for the tunnel"
        yield Problem("Exclude", _listed(routing.exclude), expected, related=("Include",))


def _listed(networks: tuple[Network, ...]) -> str:
    return shown(", ".join(map(str, networks)))


def _dialled_problems(slot: TransportProtocol, profile: TransportProfile) -> Iterator[Problem]:
    path = settings_path(slot)
    if not profile.server:
        yield Problem(f"{path}.Server", "empty", "Domain, IPv4 or IPv6 to say where the server is")
    if profile.server.domain and not is_domain(profile.server.domain):
        yield Problem(f"{path}.Server.Domain", shown(profile.server.domain), DOMAIN_EXPECTATION)
    yield from port_problems(path, profile.port, first=0 if profile.protocol is TransportProtocol.WSS else 1)
    # Below 1280 is allowed with IPv6, for the Go program writes 1200: `interface_mtu_bytes` raises it.
    yield from mtu_problems(path, profile, smallest_with_ipv6=SMALLEST_IPV4_MTU_BYTES)
    yield from dialled_extra_problems(path, slot, profile)
