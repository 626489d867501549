"""Where a peer's datagrams come from and go to, outside the tunnel."""

from ipaddress import ip_address
from typing import Final, NamedTuple

# A host with IPv6 has at least a /64 to send from: all of it is one source.
_IPV6_SOURCE_BYTES: Final = 8


class Endpoint(NamedTuple):
    """An IP address and port.

    ``host`` is a literal in canonical text form; an IPv4 address is always plain IPv4, never
    IPv4-mapped IPv6: adapters unmap once. ``scope_id`` is the interface index of a link-local
    IPv6 address and 0 otherwise.
    """

    host: str
    port: int
    scope_id: int = 0

    def __str__(self) -> str:
        host = f"{self.host}%{self.scope_id}" if self.scope_id else self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def source_network(host: str) -> str:
    """What counts as one source when places are shared out: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in host:
        return host
    return ip_address(host).packed[:_IPV6_SOURCE_BYTES].hex()
