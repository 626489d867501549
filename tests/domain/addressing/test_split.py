"""The two lists of a split tunnel against their definition."""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_network,
)
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from domain.addressing.split import Network, Split, split

Address: TypeAlias = IPv4Address | IPv6Address


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


# Few bits, so that networks meet, contain one another and add up.
ipv4_networks = st.builds(
    lambda bits, length: IPv4Network((bits << 28, length), strict=False),
    st.integers(0, 15),
    st.integers(0, 4),
)
ipv6_networks = st.builds(
    lambda bits, length: IPv6Network((bits << 124, length), strict=False),
    st.integers(0, 15),
    st.integers(0, 4),
)
network_lists = st.lists(ipv4_networks | ipv6_networks, max_size=6)
addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)


def is_in(address: Address, several: Iterable[Network]) -> bool:
    return any(address in network for network in several)


def goes_into_tunnel(address: Address, result: Split) -> bool:
    """What a routing table with these entries says."""
    matches = [
        (network.prefixlen, leads_in)
        for entries, leads_in in ((result.into_tunnel, True), (result.past, False))
        for network in entries
        if address in network
    ]
    return max(matches)[1] if matches else False


@given(network_lists, network_lists, addresses)
def test_an_address_goes_where_the_definition_says(
    include: list[Network], exclude: list[Network], address: Address
) -> None:
    included = not include or is_in(address, include)
    expected = included and not is_in(address, exclude)
    assert goes_into_tunnel(address, split(include, exclude)) is expected


@given(network_lists, network_lists)
def test_the_lists_are_minimal_and_no_network_stands_in_both(
    include: list[Network], exclude: list[Network]
) -> None:
    result = split(include, exclude)
    for entries in (result.into_tunnel, result.past):
        ipv4 = [network for network in entries if isinstance(network, IPv4Network)]
        ipv6 = [network for network in entries if isinstance(network, IPv6Network)]
        assert [*collapse_addresses(ipv4), *collapse_addresses(ipv6)] == list(entries)
    assert not set(result.into_tunnel) & set(result.past)


@given(network_lists, network_lists)
def test_nothing_leads_into_a_tunnel_that_carries_nothing(
    include: list[Network], exclude: list[Network]
) -> None:
    result = split(include, exclude)
    for network in result.into_tunnel:
        parts = [past for past in result.past if past.version == network.version]
        assert sum(past.num_addresses for past in parts if past[0] in network) < network.num_addresses


def test_without_lists_everything_goes_into_the_tunnel() -> None:
    assert split((), ()) == Split(networks("0.0.0.0/0", "::/0"), ())


def test_an_excluded_network_goes_past_and_the_rest_stays_whole() -> None:
    result = split((), networks("192.0.2.0/24", "2001:db8::/32"))
    assert result == Split(networks("0.0.0.0/0", "::/0"), networks("192.0.2.0/24", "2001:db8::/32"))


def test_exclude_wins_inside_include_and_says_nothing_beside_it() -> None:
    result = split(networks("10.0.0.0/8"), networks("10.1.0.0/16", "192.0.2.0/24"))
    assert result == Split(networks("10.0.0.0/8"), networks("10.1.0.0/16"))


def test_a_network_included_inside_an_excluded_one_stays_out() -> None:
    assert split(networks("10.1.0.0/16", "10.0.0.0/7"), networks("10.0.0.0/8")) == Split(
        networks("10.0.0.0/7"), networks("10.0.0.0/8")
    )
    assert split(networks("10.1.0.0/16"), networks("10.0.0.0/8")) == Split((), ())


def test_excludes_that_add_up_to_everything_leave_nothing() -> None:
    assert split((), networks("0.0.0.0/1", "128.0.0.0/1", "::/0")) == Split((), ())


def test_an_ip_version_that_is_not_included_goes_past_the_tunnel() -> None:
    assert split(networks("10.0.0.0/8"), ()).into_tunnel == networks("10.0.0.0/8")
