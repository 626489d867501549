"""Finding the addresses by which this host reaches the Internet (platform specification 11.1)."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from application.runtime.configuration import HostDetection, HostUnknownError
from domain.settings.profile import ServerAddress

# Specification 11.1. Any public address would do, for nothing is sent: the kernel only looks up a route.
PROBE_PORT: Final = 80
IPV4_PROBE: Final = "8.8.8.8"
IPV6_PROBE: Final = "2001:4860:4860::8888"


class RouteHostDetection:
    """Asks the kernel for the source address that it would use, by connecting a UDP socket."""

    def __init__(self, ipv4_probe: str = IPV4_PROBE, ipv6_probe: str = IPV6_PROBE) -> None:
        self._ipv4_probe = ipv4_probe
        self._ipv6_probe = ipv6_probe

    def detect_host(self) -> ServerAddress:
        """The source addresses of the routes out. Raises HostUnknownError if there are none."""
        reasons: list[str] = []
        ipv4 = _source_address(socket.AF_INET, self._ipv4_probe, reasons)
        ipv6 = _source_address(socket.AF_INET6, self._ipv6_probe, reasons)
        if ipv4 is None and ipv6 is None:
            raise HostUnknownError(
                f"no address of this host was found ({'; '.join(reasons)}); set Host in the server's "
                f"configuration to the public address or name"
            )
        return ServerAddress(
            ipv4=None if ipv4 is None else IPv4Address(ipv4), ipv6=None if ipv6 is None else IPv6Address(ipv6)
        )


def _source_address(family: socket.AddressFamily, probe: str, reasons: list[str]) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probing:
            probing.connect((probe, PROBE_PORT))
            own: Sequence[object] = probing.getsockname()
    except OSError as exc:
        reasons.append(f"{'IPv4' if family is socket.AF_INET else 'IPv6'}: {exc.strerror}")
        return None
    return str(own[0]).partition("%")[0]


_: type[HostDetection] = RouteHostDetection
