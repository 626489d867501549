import socket
from ipaddress import IPv4Address, IPv6Address

import pytest

from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import (
    CACHE_LIMIT,
    EndpointCache,
    SocketAddress,
    SocketAddressCache,
    WrongFamilyError,
    endpoint_of,
    family_of,
    literal_endpoint,
    socket_address_of,
)


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        (("192.0.2.1", 9090), Endpoint("192.0.2.1", 9090)),
        (("::ffff:192.0.2.1", 9090, 0, 0), Endpoint("192.0.2.1", 9090)),
        (("2001:db8::1", 9090, 0, 0), Endpoint("2001:db8::1", 9090)),
        (("fe80::1", 9090, 0, 3), Endpoint("fe80::1", 9090, 3)),
        (("::1", 1, 0, 0), Endpoint("::1", 1)),
        (("::ffff:0:1", 1, 0, 0), Endpoint("::ffff:0:1", 1)),
    ],
)
def test_only_mapped_hosts_are_unmapped(address: SocketAddress, endpoint: Endpoint) -> None:
    assert endpoint_of(address) == endpoint


def test_a_dual_stack_socket_sends_to_mapped_hosts() -> None:
    assert socket_address_of(Endpoint("192.0.2.1", 7), socket.AF_INET6) == ("::ffff:192.0.2.1", 7, 0, 0)
    assert socket_address_of(Endpoint("fe80::1", 7, 3), socket.AF_INET6) == ("fe80::1", 7, 0, 3)


def test_an_ipv4_socket_sends_to_plain_hosts_and_to_no_others() -> None:
    assert socket_address_of(Endpoint("192.0.2.1", 7), socket.AF_INET) == ("192.0.2.1", 7)
    with pytest.raises(WrongFamilyError, match=r"\[2001:db8::1\]:7"):
        socket_address_of(Endpoint("2001:db8::1", 7), socket.AF_INET)


@pytest.mark.parametrize(
    "endpoint", [Endpoint("192.0.2.1", 7), Endpoint("2001:db8::1", 7), Endpoint("fe80::1", 7, 2)]
)
def test_an_endpoint_survives_the_way_there_and_back(endpoint: Endpoint) -> None:
    assert endpoint_of(socket_address_of(endpoint, family_of(endpoint))) == endpoint
    assert endpoint_of(socket_address_of(endpoint, socket.AF_INET6)) == endpoint


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        (IPv4Address("192.0.2.1"), Endpoint("192.0.2.1", 7)),
        (IPv6Address("2001:DB8:0::1"), Endpoint("2001:db8::1", 7)),
        (IPv6Address("::ffff:192.0.2.1"), Endpoint("192.0.2.1", 7)),
        (IPv6Address("fe80::1%5"), Endpoint("fe80::1", 7, 5)),
        (IPv6Address("fe80::1%lo"), Endpoint("fe80::1", 7, socket.if_nametoindex("lo"))),
    ],
)
def test_configured_addresses_become_canonical(
    address: IPv4Address | IPv6Address, endpoint: Endpoint
) -> None:
    assert literal_endpoint(address, 7) == endpoint


def test_the_zone_of_a_literal_must_be_an_interface() -> None:
    with pytest.raises(OSError, match="interface"):
        literal_endpoint(IPv6Address("fe80::1%nosuchlink0"), 7)


def test_the_caches_give_one_object_for_one_peer() -> None:
    endpoints = EndpointCache()
    assert endpoints["192.0.2.1", 7] is endpoints["192.0.2.1", 7]
    addresses = SocketAddressCache(socket.AF_INET6)
    assert addresses[Endpoint("::1", 7)] is addresses[Endpoint("::1", 7)]


def test_a_flood_of_spoofed_sources_does_not_grow_the_caches() -> None:
    endpoints = EndpointCache()
    addresses = SocketAddressCache(socket.AF_INET)
    for number in range(3 * CACHE_LIMIT):
        raw = (str(IPv4Address(number)), 7)
        assert addresses[endpoints[raw]] == raw
        assert len(endpoints) <= CACHE_LIMIT
        assert len(addresses) <= CACHE_LIMIT


def test_an_endpoint_of_the_wrong_family_is_not_cached() -> None:
    addresses = SocketAddressCache(socket.AF_INET)
    with pytest.raises(WrongFamilyError):
        addresses[Endpoint("::1", 7)]
    assert not addresses
