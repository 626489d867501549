"""Peers of a server: found by number or name, shown, renamed, kept out, forgotten."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from application.server.peers import (
    LONGEST_PEER_NAME,
    PeerAmbiguousError,
    PeerNameError,
    Peers,
    PeerUnknownError,
)
from domain.addressing.peers import Peer
from domain.settings.profile import TransportProtocol
from domain.settings.server import ServerSettings
from tests.adapters.configuration import MemoryServerConfiguration
from tests.domain.settings.samples import a_server, with_ipv6

LAPTOP = Peer(b"l" * 32, 3, "laptop")
PHONE = Peer(b"p" * 32, 1, "phone", enabled=False)
NAMELESS = Peer(b"n" * 32, 2)
TWINS = (Peer(b"1" * 32, 4, "twin"), Peer(b"2" * 32, 5, "twin"))


def a_configuration(*peers: Peer) -> MemoryServerConfiguration:
    return MemoryServerConfiguration(replace(a_server(), peers=peers, client_counter=5))


def unchanged(configuration: MemoryServerConfiguration) -> bool:
    return configuration.replacements == 0


def test_all_peers_come_in_the_order_of_their_numbers() -> None:
    peers = Peers(a_configuration(LAPTOP, PHONE, NAMELESS)).all()
    assert [admitted.peer for admitted in peers] == [PHONE, NAMELESS, LAPTOP]


def test_a_peer_has_addresses_in_the_tunnels_of_the_transports_that_are_enabled() -> None:
    server = a_server()
    settings: ServerSettings = replace(
        server,
        udp=with_ipv6(server.udp),
        peers=(LAPTOP,),
        enabled=frozenset({TransportProtocol.UDP, TransportProtocol.TCP}),
    )
    addresses = dict(Peers(MemoryServerConfiguration(settings)).one("laptop").addresses)
    assert set(addresses) == settings.enabled
    udp, tcp = addresses[TransportProtocol.UDP], addresses[TransportProtocol.TCP]
    assert udp.ipv6 is not None
    assert (udp.ipv4.ip, udp.ipv6.ip) == (IPv4Address("10.0.1.4"), IPv6Address("fd00:9::4"))
    assert (tcp.ipv4.ip, tcp.ipv6) == (IPv4Address("10.0.0.4"), None)


@pytest.mark.parametrize("which", ["3", "03", "laptop"])
def test_a_peer_is_found_by_its_number_and_by_its_name(which: str) -> None:
    assert Peers(a_configuration(PHONE, LAPTOP)).one(which).peer == LAPTOP


@pytest.mark.parametrize("which", ["", "9", "0", "tablet", "Laptop", "-3", "3.0", "³", "9" * 5000])
def test_nobody_is_found_under_what_is_no_number_and_no_name(which: str) -> None:
    configuration = a_configuration(PHONE, LAPTOP, NAMELESS)
    with pytest.raises(PeerUnknownError, match="tungo server peers list"):
        Peers(configuration).remove(which)
    assert unchanged(configuration)


def test_digits_are_a_number_even_where_an_old_file_has_them_as_a_name() -> None:
    peers = Peers(a_configuration(Peer(b"x" * 32, 7, "3"), LAPTOP))
    assert peers.one("3").peer == LAPTOP


def test_of_two_peers_with_one_name_none_is_meant() -> None:
    configuration = a_configuration(*TWINS)
    with pytest.raises(PeerAmbiguousError, match="give a number: 4, 5"):
        Peers(configuration).set_enabled("twin", enabled=False)
    assert unchanged(configuration)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("which", ["laptop", "phone"])
def test_enabling_and_disabling_give_the_state_that_was_asked_for(which: str, enabled: bool) -> None:
    configuration = a_configuration(LAPTOP, PHONE)
    assert Peers(configuration).set_enabled(which, enabled=enabled).enabled is enabled
    others = {peer.name: peer.enabled for peer in (LAPTOP, PHONE)}
    assert {peer.name: peer.enabled for peer in configuration.load().peers} == others | {which: enabled}


def test_a_removed_peer_is_gone_and_the_counter_stays() -> None:
    configuration = a_configuration(LAPTOP, PHONE)
    assert Peers(configuration).remove("laptop") == LAPTOP
    assert configuration.load() == replace(a_server(), peers=(PHONE,), client_counter=5)


def test_a_new_name_changes_nothing_else() -> None:
    configuration = a_configuration(LAPTOP, PHONE)
    renamed = Peers(configuration).rename("1", "  old phone ")
    assert renamed == replace(PHONE, name="old phone")
    assert configuration.load().peers == (LAPTOP, renamed)


def test_a_peer_can_be_given_the_name_that_it_has() -> None:
    assert Peers(a_configuration(LAPTOP)).rename("3", "laptop") == LAPTOP


@pytest.mark.parametrize(
    "name", ["", "  ", "12", "phone", "a\nb", "\x1b[2J", "x" * (LONGEST_PEER_NAME + 1), "\ud800"]
)
def test_a_name_that_would_confuse_is_refused(name: str) -> None:
    configuration = a_configuration(LAPTOP, PHONE)
    with pytest.raises(PeerNameError, match="expected"):
        Peers(configuration).rename("laptop", name)
    assert unchanged(configuration)
