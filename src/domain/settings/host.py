"""The name or address that clients find the server by, as people write it (platform specification 4.2)."""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from domain.settings.profile import ServerAddress

LONGEST_DOMAIN: Final = 253  # RFC 1035 section 2.3.4, without the final dot

# RFC 1123 section 2.1; underscores are not in it, but resolvers take them and people use them.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")

HOST_EXPECTATION: Final = "an IPv4 address, an IPv6 address or a domain name"
DOMAIN_EXPECTATION: Final = "a domain name such as vpn.example.org"


class HostError(ValueError):
    """The text is neither an address nor a domain name."""


def parse_host(text: str) -> ServerAddress:
    """The address with the one member that ``text`` gives.

    Blanks around it and brackets around an IPv6 literal are taken off. Raises HostError.
    """
    stripped = text.strip()
    literal = stripped.removeprefix("[").removesuffix("]") if ":" in stripped else stripped
    try:
        return ServerAddress(ipv4=parse_ipv4_literal(literal))
    except HostError:
        pass
    try:
        return ServerAddress(ipv6=parse_ipv6_literal(literal))
    except HostError:
        pass
    domain = stripped.removesuffix(".").lower()
    if not is_domain(domain):
        raise HostError(f"{stripped!r} is not {HOST_EXPECTATION}")
    return ServerAddress(domain=domain)


def parse_ipv4_literal(text: str) -> IPv4Address:
    """An IPv4 address; one that is mapped into IPv6 (``::ffff:192.0.2.1``) counts. Raises HostError."""
    try:
        return IPv4Address(text)
    except ValueError:
        mapped = _ipv6_or_none(text)
    if mapped is None or mapped.ipv4_mapped is None:
        raise HostError(f"{text!r} is not an IPv4 address")
    return mapped.ipv4_mapped


def parse_ipv6_literal(text: str) -> IPv6Address:
    """An IPv6 address that is not an IPv4 address in disguise. Raises HostError."""
    address = _ipv6_or_none(text)
    if address is None or address.ipv4_mapped is not None:
        raise HostError(f"{text!r} is not an IPv6 address")
    return address


def is_domain(text: str) -> bool:
    """Whether ``text`` can be looked up: labels of at most 63 letters, digits and inner hyphens.

    A name whose last label is a number is not one: it would be a mistyped IPv4 address.
    """
    labels = text.removesuffix(".").lower().split(".")
    return (
        len(text) <= LONGEST_DOMAIN
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )


def _ipv6_or_none(text: str) -> IPv6Address | None:
    """A zone (``%eth0``) names an interface of one machine and has no place in a file that travels."""
    if "%" in text:
        return None
    try:
        return IPv6Address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
