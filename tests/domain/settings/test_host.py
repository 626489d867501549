"""Host names and addresses as people write them."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.settings.host import HostError, is_domain, parse_host, parse_ipv4_literal, parse_ipv6_literal
from domain.settings.profile import ServerAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", ServerAddress(ipv4=IPv4Address("203.0.113.7"))),
        (" 203.0.113.7\t", ServerAddress(ipv4=IPv4Address("203.0.113.7"))),
        ("::ffff:203.0.113.7", ServerAddress(ipv4=IPv4Address("203.0.113.7"))),
        ("2001:db8::7", ServerAddress(ipv6=IPv6Address("2001:db8::7"))),
        ("[2001:db8::7]", ServerAddress(ipv6=IPv6Address("2001:db8::7"))),
        ("vpn.example.org", ServerAddress(domain="vpn.example.org")),
        ("VPN.Example.org.", ServerAddress(domain="vpn.example.org")),
        ("my_host", ServerAddress(domain="my_host")),
    ],
)
def test_a_host_becomes_the_one_member_that_it_is(text: str, address: ServerAddress) -> None:
    assert parse_host(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a.org",
        "a-.org",
        "a b",
        "a/b",
        "http://a",
        "a:80",
        "fe80::1%eth0",
        "1.2.3",
        "1.2.3.256",
    ],
)
def test_what_cannot_be_looked_up_is_refused(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)


def test_labels_and_names_have_the_lengths_of_the_domain_name_system() -> None:
    assert is_domain("a" * 63 + ".org")
    assert not is_domain("a" * 64 + ".org")
    assert is_domain(".".join(["a" * 49] * 5) + ".org")
    assert not is_domain(".".join(["a" * 49] * 5) + ".organ")


def test_literals_are_of_their_own_family() -> None:
    assert parse_ipv4_literal("::ffff:192.0.2.1") == IPv4Address("192.0.2.1")
    for text in ("2001:db8::1", "vpn.example.org", ""):
        with pytest.raises(HostError):
            parse_ipv4_literal(text)
    for text in ("::ffff:192.0.2.1", "192.0.2.1", "fe80::1%eth0", ""):
        with pytest.raises(HostError):
            parse_ipv6_literal(text)


@given(st.text(max_size=40))
def test_any_text_is_a_host_or_a_host_error(text: str) -> None:
    try:
        address = parse_host(text)
    except HostError:
        return
    assert bool(address)
