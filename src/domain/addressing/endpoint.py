"""Where a peer's datagrams come from and go to, outside the tunnel."""

from typing import NamedTuple


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
