"""Tunnel addresses: every recorded case of the Go program, and the rules that are ours."""

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addressing.tunnel import (
    AddressingError,
    ClientIdError,
    SubnetError,
    client_addresses,
    last_client_id,
    parse_ipv4_subnet,
    parse_ipv6_subnet,
    server_addresses,
)
from tests.vectors import JsonObject, cases, flag, number, text

# Room for more client ids than any other IPv4 subnet has, so that IPv6 can be looked at alone.
WIDE_IPV4_SUBNET = IPv4Network("0.0.0.0/2")


def parsed(subnet: str) -> IPv4Network | IPv6Network:
    return parse_ipv6_subnet(subnet) if ":" in subnet else parse_ipv4_subnet(subnet)


def has_host_bits(subnet: str) -> bool:
    return ip_interface(subnet).ip != ip_interface(subnet).network.network_address


def without_host_bits(kind: str) -> list[JsonObject]:
    return [case for case in cases("addressing", kind) if not has_host_bits(text(case, "subnet"))]


def described(case: JsonObject) -> str:
    return f"{case['subnet']} {case.get('client_id', 'server')}"


@pytest.mark.parametrize("case", without_host_bits("server"), ids=described)
def test_the_server_gets_the_recorded_address(case: JsonObject) -> None:
    subnet = parsed(text(case, "subnet"))

    def addresses() -> IPv4Interface | IPv6Interface | None:
        if isinstance(subnet, IPv4Network):
            return server_addresses(subnet, None).ipv4
        return server_addresses(WIDE_IPV4_SUBNET, subnet).ipv6

    if flag(case, "inside_subnet"):
        assert addresses() == ip_interface(text(case, "cidr"))
    else:  # the Go program goes on with an address outside the subnet
        with pytest.raises(SubnetError, match="room for the server"):
            addresses()


@pytest.mark.parametrize("case", without_host_bits("client"), ids=described)
def test_a_client_gets_the_recorded_address_or_error(case: JsonObject) -> None:
    subnet, client_id = parsed(text(case, "subnet")), number(case, "client_id")
    assert (1 <= client_id <= last_client_id(subnet)) is not flag(case, "error")
    ipv4_subnet = subnet if isinstance(subnet, IPv4Network) else WIDE_IPV4_SUBNET
    ipv6_subnet = subnet if isinstance(subnet, IPv6Network) else None
    if flag(case, "error") or client_id > last_client_id(WIDE_IPV4_SUBNET):
        with pytest.raises(ClientIdError, match=f"client id {client_id}"):
            client_addresses(ipv4_subnet, ipv6_subnet, client_id)
        return
    addresses = client_addresses(ipv4_subnet, ipv6_subnet, client_id)
    assert (addresses.ipv6 or addresses.ipv4) == ip_interface(text(case, "cidr"))


def test_subnets_with_host_bits_are_refused_although_the_go_program_takes_them() -> None:
    recorded = [*cases("addressing", "server"), *cases("addressing", "client")]
    refused = {text(case, "subnet") for case in recorded if has_host_bits(text(case, "subnet"))}
    assert "10.0.0.250/24" in refused
    assert "2001:db8::ffff:ffff:ffff:ffff/64" in refused
    for subnet in refused:
        with pytest.raises(AddressingError, match="without host bits"):
            parsed(subnet)


@pytest.mark.parametrize(
    "case", [case for case in cases("addressing", "derive") if text(case, "ipv4_subnet")], ids=str
)
def test_both_families_are_derived_as_recorded(case: JsonObject) -> None:
    """The two cases without IPv4 are left out: a tunnel always has IPv4 here."""
    ipv4_subnet = parse_ipv4_subnet(text(case, "ipv4_subnet"))
    ipv6_text, client_id = text(case, "ipv6_subnet"), number(case, "client_id")
    ipv6_subnet = parse_ipv6_subnet(ipv6_text) if ipv6_text else None
    if flag(case, "error"):
        with pytest.raises(ClientIdError):
            client_addresses(ipv4_subnet, ipv6_subnet, client_id)
        return
    if client_id == 0:
        addresses = server_addresses(ipv4_subnet, ipv6_subnet)
    else:
        addresses = client_addresses(ipv4_subnet, ipv6_subnet, client_id)
    assert str(addresses.ipv4.ip) == case["ipv4"]
    assert (str(addresses.ipv6.ip) if addresses.ipv6 else None) == case["ipv6"]


@pytest.mark.parametrize("case", cases("addressing", "prefix_text"), ids=lambda case: repr(case["text"]))
def test_subnets_are_read_as_recorded(case: JsonObject) -> None:
    written = text(case, "text")
    if flag(case, "valid") and not has_host_bits(written):
        assert parsed(written) == ip_interface(text(case, "printed")).network
    else:
        with pytest.raises(SubnetError):
            parsed(written)


@pytest.mark.parametrize(
    "written", ["10.0.1.0/255.255.255.0", "10.0.1.0/٢٤", "fd00::/64", "10.0.1.0/24/8", "x/8"]
)
def test_other_notations_of_ipv4_subnets_are_refused(written: str) -> None:
    with pytest.raises(SubnetError, match=r"10\.0\.1\.0/24"):
        parse_ipv4_subnet(written)


@pytest.mark.parametrize("written", ["10.0.1.0/24", "fd00::/ffff::", "fd00::%1/64", "fd00::/064"])
def test_other_notations_of_ipv6_subnets_are_refused(written: str) -> None:
    with pytest.raises(SubnetError, match="fd00:1::/64"):
        parse_ipv6_subnet(written)


def test_the_error_names_the_allowed_range() -> None:
    with pytest.raises(ClientIdError, match=r"client id 254: expected 1 to 253 in 10\.0\.1\.0/24") as caught:
        client_addresses(IPv4Network("10.0.1.0/24"), None, 254)
    assert caught.value.last_client_id == 253


def test_the_error_says_when_there_is_no_range() -> None:
    with pytest.raises(ClientIdError, match="larger subnet") as caught:
        client_addresses(IPv4Network("10.0.1.0/24"), IPv6Network("fd00::/127"), 1)
    assert caught.value.last_client_id == 0


def test_addresses_carry_the_prefix_length_of_their_subnet() -> None:
    addresses = client_addresses(IPv4Network("10.0.1.0/24"), IPv6Network("fd00:1::/64"), 1)
    assert addresses.ipv4.with_prefixlen == "10.0.1.2/24"
    assert addresses.ipv6 is not None
    assert addresses.ipv6.with_prefixlen == "fd00:1::2/64"


@given(prefix=st.integers(2, 29), client_id=st.integers(1, 2**30))
def test_no_client_shares_an_address_with_the_server_or_leaves_the_subnet(
    prefix: int, client_id: int
) -> None:
    subnet = IPv4Network((0x40000000, prefix))
    client_id = min(client_id, last_client_id(subnet))
    address = client_addresses(subnet, None, client_id).ipv4.ip
    assert address in subnet
    assert address not in (
        subnet.network_address,
        subnet.broadcast_address,
        server_addresses(subnet, None).ipv4.ip,
    )


@given(st.text(max_size=30))
def test_any_text_is_a_subnet_or_a_subnet_error(written: str) -> None:
    for parse in (parse_ipv4_subnet, parse_ipv6_subnet):
        try:
            subnet = parse(written)
        except SubnetError:
            continue
        assert parse(str(subnet)) == subnet
