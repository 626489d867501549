"""Between the kernel's socket addresses and endpoints.

A dual-stack socket names an IPv4 peer ``::ffff:a.b.c.d`` in both directions. Everywhere above this module
such a peer is plain IPv4.

Errors::

    WrongFamilyError         the endpoint's family cannot be reached through this socket
"""

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from domain.addressing.endpoint import Endpoint

# What the socket module calls an address: (host, port) for IPv4, (host, port, flow, scope) for IPv6.
SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

# RFC 4291 section 2.5.5.2, as inet_ntop writes it.
MAPPED_PREFIX: Final = "::ffff:"

# Peers of one server that get by without a new conversion; half a MiB for both directions. Sources can be
# spoofed, so a full cache is emptied and starts again: living peers are back with their next datagram.
CACHE_LIMIT: Final = 1024


class WrongFamilyError(Exception):
    """An IPv6 endpoint was given to an IPv4 socket."""


def endpoint_of(address: SocketAddress) -> Endpoint:
    """The endpoint behind a socket address, IPv4-mapped hosts unmapped."""
    host = address[0]
    if host.startswith(MAPPED_PREFIX) and "." in host:
        return Endpoint(host[len(MAPPED_PREFIX) :], address[1])
    return Endpoint(host, address[1], address[3] if len(address) == 4 else 0)


def socket_address_of(endpoint: Endpoint, family: int) -> SocketAddress:
    """``endpoint`` in the form that a socket of ``family`` (AF_INET or AF_INET6) sends to.

    Raises WrongFamilyError for an IPv6 endpoint and AF_INET.
    """
    is_ipv6 = ":" in endpoint.host
    if family == socket.AF_INET6:
        host = endpoint.host if is_ipv6 else MAPPED_PREFIX + endpoint.host
        return (host, endpoint.port, 0, endpoint.scope_id)
    if is_ipv6:
        raise WrongFamilyError(f"{endpoint} cannot be reached through an IPv4 socket")
    return (endpoint.host, endpoint.port)


def family_of(endpoint: Endpoint) -> int:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET


def literal_endpoint(address: IPv4Address | IPv6Address, port: int) -> Endpoint:
    """The endpoint of a configured address.

    The zone of a link-local address may be an interface name or index. Raises OSError if no interface has it.
    """
    if isinstance(address, IPv4Address):
        return Endpoint(str(address), port)
    if address.ipv4_mapped is not None:
        return Endpoint(str(address.ipv4_mapped), port)
    zone = address.scope_id
    if zone is None:
        return Endpoint(str(address), port)
    scope_id = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return Endpoint(str(address).partition("%")[0], port, scope_id)


class EndpointCache(dict[SocketAddress, Endpoint]):
    """Socket address -> endpoint; ``cache[address]`` converts on a miss and stays below CACHE_LIMIT entries.

    A dict with ``__missing__``, so that a hit costs no function call of ours.
    """

    def __missing__(self, address: SocketAddress) -> Endpoint:
        if len(self) >= CACHE_LIMIT:
            self.clear()
        endpoint = self[address] = endpoint_of(address)
        return endpoint


class SocketAddressCache(dict[Endpoint, SocketAddress]):
    """Endpoint -> socket address for a socket of ``family``, bounded in the same way.

    ``cache[endpoint]`` raises WrongFamilyError as ``socket_address_of`` does.
    """

    def __init__(self, family: int) -> None:
        super().__init__()
        self._family = family

    def __missing__(self, endpoint: Endpoint) -> SocketAddress:
        address = socket_address_of(endpoint, self._family)
        if len(self) >= CACHE_LIMIT:
            self.clear()
        self[endpoint] = address
        return address
