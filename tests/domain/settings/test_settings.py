"""Profiles, server settings and client settings: what they derive and what they hide."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from domain.addressing.peers import Peer
from domain.addressing.tunnel import ClientIdError
from domain.settings.client import ClientSettings
from domain.settings.defaults import SLOT_DEFAULTS, default_server_settings
from domain.settings.profile import ServerAddress, TlsSettings, TransportProtocol
from domain.settings.server import ServerSettings
from tests.domain.settings.samples import CLIENT_PRIVATE_KEY, a_client, a_server, with_ipv6


def test_an_address_is_true_when_any_member_is_set() -> None:
    assert not ServerAddress()
    assert ServerAddress(domain="a")
    assert ServerAddress(ipv4=IPv4Address("192.0.2.1"))
    assert ServerAddress(ipv6=IPv6Address("2001:db8::1"))


@pytest.mark.parametrize(("mtu_bytes", "without", "with_it"), [(1200, 1200, 1280), (1400, 1400, 1400)])
def test_the_interface_gets_an_mtu_that_carries_its_families(
    mtu_bytes: int, without: int, with_it: int
) -> None:
    profile = replace(a_client().udp, mtu_bytes=mtu_bytes)
    assert profile.interface_mtu_bytes == without
    assert with_ipv6(profile).interface_mtu_bytes == with_it


@pytest.mark.parametrize(("dial_timeout_ms", "effective_ms"), [(0, 5000), (1000, 5000), (9000, 9000)])
def test_a_connection_has_five_seconds_or_more(dial_timeout_ms: int, effective_ms: int) -> None:
    assert replace(a_client().udp, dial_timeout_ms=dial_timeout_ms).connect_timeout_ms == effective_ms


def test_a_fresh_server_listens_on_udp_alone_and_has_no_keys() -> None:
    server = default_server_settings()
    assert server.enabled_profiles() == (server.udp,)
    assert not server.has_keys
    assert len(server.access_list()) == 0


@pytest.mark.parametrize("settings", [a_server(), a_client()], ids=["server", "client"])
def test_each_profile_is_changed_by_its_slot_and_nothing_else_is(
    settings: ServerSettings | ClientSettings,
) -> None:
    changed = settings.with_each(lambda slot, profile: replace(profile, interface_name=slot.value))
    assert [profile.interface_name for _, profile in changed.slots] == ["TCP", "UDP", "WS"]
    assert replace(changed, tcp=settings.tcp, udp=settings.udp, ws=settings.ws) == settings


def test_the_default_subnets_do_not_overlap() -> None:
    defaults = list(SLOT_DEFAULTS.values())
    for index, one in enumerate(defaults):
        for other in defaults[index + 1 :]:
            assert not one.ipv4_subnet.overlaps(other.ipv4_subnet)
            assert not one.ipv6_subnet.overlaps(other.ipv6_subnet)


def test_enabled_profiles_stand_in_the_order_of_the_file() -> None:
    server = a_server()
    assert server.enabled_profiles() == (server.tcp, server.udp, server.ws)


def test_the_access_list_holds_every_peer() -> None:
    server = a_server()
    disabled = Peer(b"k" * 32, 2, enabled=False)
    access = replace(server, peers=(*server.peers, disabled)).access_list()
    assert access.find(b"k" * 32) == disabled
    assert access.find(server.peers[0].public_key) == server.peers[0]


@pytest.mark.parametrize(
    ("protocol", "slot"),
    [
        (TransportProtocol.UDP, "udp"),
        (TransportProtocol.TCP, "tcp"),
        (TransportProtocol.WS, "ws"),
        (TransportProtocol.WSS, "ws"),
    ],
)
def test_the_protocol_selects_the_active_profile_and_overrides_the_one_inside(
    protocol: TransportProtocol, slot: str
) -> None:
    client = a_client()
    mislabelled = replace(client.udp, protocol=TransportProtocol.TCP)
    active = replace(client, udp=mislabelled, protocol=protocol).active
    assert active.protocol is protocol
    assert (
        active.interface_name == {"udp": client.udp, "tcp": client.tcp, "ws": client.ws}[slot].interface_name
    )


def test_the_fallbacks_come_after_the_protocol() -> None:
    client = a_client()
    assert client.protocols == (TransportProtocol.UDP,)
    fallbacks = (TransportProtocol.WSS, TransportProtocol.TCP)
    assert replace(client, fallbacks=fallbacks).protocols == (TransportProtocol.UDP, *fallbacks)


def test_every_protocol_has_a_profile_and_addresses_of_its_own_and_wss_those_of_ws() -> None:
    client = a_client()
    found = [
        (profile.protocol, profile.interface_name, str(client.addresses_of(protocol).ipv4))
        for protocol in TransportProtocol
        for profile in [client.profile_of(protocol)]
    ]
    assert found == [
        (TransportProtocol.UDP, "c_udptun0", "10.0.1.2/24"),
        (TransportProtocol.TCP, "c_tcptun0", "10.0.0.2/24"),
        (TransportProtocol.WS, "c_wstun0", "10.0.2.2/24"),
        (TransportProtocol.WSS, "c_wstun0", "10.0.2.2/24"),
    ]


def test_a_server_speaks_tls_itself_only_with_a_certificate_and_its_key() -> None:
    assert not TlsSettings().serves
    assert not TlsSettings(ca_file="/ca.pem", key_file="/key.pem").serves
    assert TlsSettings(certificate_file="/cert.pem", key_file="/key.pem").serves


@pytest.mark.parametrize(
    "tls",
    [
        TlsSettings(ca_file="/ca.pem"),
        TlsSettings(pinned_certificate=b""),
        TlsSettings(server_name="a"),
        TlsSettings(certificate_file="/cert.pem"),
        TlsSettings(key_file="/key.pem"),
    ],
)
def test_tls_settings_are_true_when_anything_is_set(tls: TlsSettings) -> None:
    assert tls
    assert not TlsSettings()


def test_a_client_knows_its_addresses() -> None:
    client = replace(a_client(), client_id=5)
    assert str(client.addresses.ipv4) == "10.0.1.6/24"
    assert client.addresses.ipv6 is None
    with pytest.raises(ClientIdError):
        str(replace(client, client_id=254).addresses)


def test_private_keys_are_in_no_representation() -> None:
    assert repr(CLIENT_PRIVATE_KEY) not in repr(a_client())
    assert repr(a_server().private_key) not in repr(a_server())
