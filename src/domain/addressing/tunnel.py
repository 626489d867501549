"""From a subnet and a client id to the addresses inside the tunnel (protocol specification 8.4).

Nothing about addressing is negotiated: both ends compute the same addresses from their own configuration.

=========  ==================================  ================================================
address    IPv4                                IPv6
=========  ==================================  ================================================
server     subnet + 1                          subnet + 1
client n   subnet + 1 + n                      subnet + 1 + n, counted in the low 64 bits only
valid n    1 .. 2^(32-prefix) - 3, prefix ≥ 2  1 .. the last address of the subnet
=========  ==================================  ================================================

A subnet must be written without host bits (``10.0.1.0/24``, not ``10.0.1.7/24``). The Go program counts from
whatever address is written, which lets high client ids leave the subnet; this rule is ours.

Errors::

    AddressingError (a ValueError)
    ├── SubnetError           the text is not a subnet, or the subnet has no room for a server
    └── ClientIdError         the client id has no address in the subnet
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

# Specification 8.4.
SERVER_OFFSET: Final = 1
FIRST_CLIENT_ID: Final = 1
SHORTEST_IPV4_PREFIX: Final = 2
IPV6_COUNTED_BITS: Final = 64


class AddressingError(ValueError):
    """No tunnel address can be had; ``expected`` says from what there could be one."""

    def __init__(self, found: str, expected: str) -> None:
        self.expected = expected
        super().__init__(f"{found}: expected {expected}")


class SubnetError(AddressingError):
    """The subnet cannot be used in a tunnel."""


class ClientIdError(AddressingError):
    """``client_id`` has no address; ``last_client_id`` is the largest that has one, 0 if none has."""

    def __init__(self, client_id: int, subnet: IPv4Network | IPv6Network, last_client_id: int) -> None:
        self.client_id = client_id
        self.subnet = subnet
        self.last_client_id = last_client_id
        if last_client_id < FIRST_CLIENT_ID:
            expected = f"a larger subnet, {subnet} has no room for a client"
        else:
            expected = f"{FIRST_CLIENT_ID} to {last_client_id} in {subnet}"
        super().__init__(f"client id {client_id}", expected)


@dataclass(frozen=True, slots=True)
class TunnelAddresses:
    """One end's addresses inside the tunnel, each with the prefix length of its subnet."""

    ipv4: IPv4Interface
    ipv6: IPv6Interface | None


def server_addresses(ipv4_subnet: IPv4Network, ipv6_subnet: IPv6Network | None) -> TunnelAddresses:
    """The server's own addresses. Raises SubnetError if the subnet consists of one address."""
    for subnet in (ipv4_subnet, ipv6_subnet):
        if subnet is not None and subnet.num_addresses <= SERVER_OFFSET:
            raise SubnetError(str(subnet), "a shorter prefix, which leaves room for the server")
    return _addresses_at(SERVER_OFFSET, ipv4_subnet, ipv6_subnet)


def client_addresses(
    ipv4_subnet: IPv4Network, ipv6_subnet: IPv6Network | None, client_id: int
) -> TunnelAddresses:
    """The addresses of client ``client_id``; the ids count from 1. Raises ClientIdError."""
    subnets: list[IPv4Network | IPv6Network] = [ipv4_subnet]
    if ipv6_subnet is not None:
        subnets.append(ipv6_subnet)
    for subnet in subnets:
        last = last_client_id(subnet)
        if not FIRST_CLIENT_ID <= client_id <= last:
            raise ClientIdError(client_id, subnet, last)
    return _addresses_at(SERVER_OFFSET + client_id, ipv4_subnet, ipv6_subnet)


def last_client_id(subnet: IPv4Network | IPv6Network) -> int:
    """The largest client id that has an address in ``subnet``; 0 if there is none."""
    if isinstance(subnet, IPv6Network):
        host_bits = min(IPV6_COUNTED_BITS, subnet.max_prefixlen - subnet.prefixlen)
        return max(0, (1 << host_bits) - 1 - SERVER_OFFSET)
    if subnet.prefixlen < SHORTEST_IPV4_PREFIX:
        return 0
    # One less than what fits: the last address of an IPv4 subnet is its broadcast address.
    return max(0, subnet.num_addresses - 2 - SERVER_OFFSET)


def parse_ipv4_subnet(text: str) -> IPv4Network:
    """``a.b.c.d/prefix`` in canonical notation and without host bits. Raises SubnetError."""
    _check_prefix_notation(text, "10.0.1.0/24")
    try:
        subnet = IPv4Network(text, strict=False)
    except ValueError as exc:
        raise SubnetError(repr(text), "an IPv4 subnet such as 10.0.1.0/24") from exc
    if IPv4Address(text.partition("/")[0]) != subnet.network_address:
        raise SubnetError(repr(text), f"a subnet without host bits, here {subnet}")
    return subnet


def parse_ipv6_subnet(text: str) -> IPv6Network:
    """``prefix::/length`` without host bits and without a zone. Raises SubnetError."""
    _check_prefix_notation(text, "fd00:1::/64")
    try:
        subnet = IPv6Network(text, strict=False)
        written = IPv6Address(text.partition("/")[0])
    except ValueError as exc:
        raise SubnetError(repr(text), "an IPv6 subnet such as fd00:1::/64") from exc
    if written != subnet.network_address:
        raise SubnetError(repr(text), f"a subnet without host bits, here {subnet}")
    return subnet


def _check_prefix_notation(text: str, example: str) -> None:
    """Refuse what ``ipaddress`` takes and the Go program does not: no prefix, a netmask, ``/024``, a zone."""
    _, slash, prefix = text.partition("/")
    digits = prefix.isascii() and prefix.isdigit() and str(int(prefix[:4])) == prefix
    if not slash or not digits or "%" in text:
        raise SubnetError(repr(text), f"a subnet with its prefix length such as {example}")


def _addresses_at(offset: int, ipv4_subnet: IPv4Network, ipv6_subnet: IPv6Network | None) -> TunnelAddresses:
    ipv6 = None
    if ipv6_subnet is not None:
        ipv6 = IPv6Interface((ipv6_subnet.network_address + offset, ipv6_subnet.prefixlen))
    return TunnelAddresses(
        ipv4=IPv4Interface((ipv4_subnet.network_address + offset, ipv4_subnet.prefixlen)), ipv6=ipv6
    )
