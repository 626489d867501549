"""Whether the tunnel's datagrams fit the way to the other end.

Linux knows the MTU of the way to an address, with what routers have said about it so far, and tells it of a
connected socket (IP_MTU, ip(7)): nothing is sent. Streams have no such limit.
"""

import socket
from collections.abc import Sequence
from typing import Final

from application.diagnosis.finding import Finding, Severity
from application.network.connection.transport import ResolutionError
from domain.addressing.endpoint import Endpoint
from domain.session.nonce import DATAGRAM_OVERHEAD_BYTES
from domain.settings.profile import SMALLEST_IPV4_MTU_BYTES, SMALLEST_IPV6_MTU_BYTES, TransportProfile
from infrastructure.network.addresses import family_of, socket_address_of
from infrastructure.network.resolution import resolve
from infrastructure.network.sockets import set_mark
from infrastructure.pal.configuration.host_detection import IPV4_PROBE, IPV6_PROBE, PROBE_PORT

# <linux/in.h>, <linux/in6.h>; the socket module has no names for them.
_IP_MTU: Final = 14
_IPV6_MTU: Final = 24

_UDP_HEADER_BYTES: Final = 8
_IP_HEADER_BYTES: Final[dict[int, int]] = {socket.AF_INET: 20, socket.AF_INET6: 40}


async def examine_client_mtu(profile: TransportProfile, mark: int | None) -> Sequence[Finding]:
    """The way to the server of ``profile``, which is one of UDP.

    ``mark`` leads past a tunnel that is there already; None without the right to it.
    """
    try:
        endpoints = await resolve(profile)
    except ResolutionError:
        return [Finding.warning("the way to the server is not known without its address", "see the resolver")]
    return [_finding(profile, endpoints[:1], mark, Severity.PROBLEM)]


async def examine_server_mtu(profile: TransportProfile, mark: int | None) -> Sequence[Finding]:
    """The ways out of this host, over which the clients of ``profile`` are reached; it is one of UDP.

    Most packets are as small as the clients' own MTU wants them, so that a misfit here is no more than a
    warning.
    """
    ways_out = [Endpoint(IPV4_PROBE, PROBE_PORT), Endpoint(IPV6_PROBE, PROBE_PORT)]
    return [_finding(profile, ways_out, mark, Severity.WARNING)]


def path_mtu_bytes(endpoint: Endpoint, mark: int | None = None) -> int | None:
    """What Linux knows of the way that packets with ``mark`` take to ``endpoint``; None without a route."""
    family = family_of(endpoint)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if mark is not None:
                set_mark(probe, mark)
            probe.connect(socket_address_of(endpoint, family))
            if family == socket.AF_INET:
                return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)
            return probe.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
    except OSError:
        return None


def largest_inside_bytes(path_bytes: int, family: int) -> int:
    """The largest MTU of a tunnel whose datagrams fit a way of ``path_bytes``."""
    return path_bytes - _IP_HEADER_BYTES[family] - _UDP_HEADER_BYTES - DATAGRAM_OVERHEAD_BYTES


def _finding(
    profile: TransportProfile, endpoints: Sequence[Endpoint], mark: int | None, misfit: Severity
) -> Finding:
    """About the narrowest of the ways to ``endpoints``."""
    ways = [
        (largest_inside_bytes(path_bytes, family_of(endpoint)), path_bytes)
        for endpoint in endpoints
        if (path_bytes := path_mtu_bytes(endpoint, mark)) is not None
    ]
    if not ways:
        return Finding.problem("there is no route to the other end", "connect this host to a network")
    largest, path_bytes = min(ways)
    inside = profile.interface_mtu_bytes
    if inside <= largest:
        return Finding.ok(f"packets of {inside} bytes and what goes around them fit the MTU of {path_bytes}")
    if largest >= _smallest_bytes(profile):
        advice = f"set MTU in UDPSettings to {largest} or less, on the server and in the client's file"
    else:
        advice = "raise the MTU of this host's uplink, or connect over TCP, which does not mind"
    return Finding(
        misfit,
        f"packets of {inside} bytes and what goes around them do not fit the MTU of {path_bytes}: "
        f"they travel in fragments, which many networks drop",
        advice,
    )


def _smallest_bytes(profile: TransportProfile) -> int:
    return SMALLEST_IPV4_MTU_BYTES if profile.ipv6_subnet is None else SMALLEST_IPV6_MTU_BYTES
