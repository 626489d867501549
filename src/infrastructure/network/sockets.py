"""What sockets of all kinds share: the firewall mark, binding, and what a refusal of the kernel means.

Errors::

    FirewallMarkError        SO_MARK was refused; an OSError, so that one handler closes the socket
    BindingRefusedError      nothing can be bound there; the text is the endpoint and the reason
    └── BindingForbiddenError    this process may not (also a MissingRightsError)
"""

import errno
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, TypeAlias

from application.runtime.rights import MissingRightsError
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import SocketAddress, family_of, literal_endpoint, socket_address_of

# Opens an unconfigured socket of AF_INET or AF_INET6. Raises OSError if the kernel lacks the family.
SocketFactory: TypeAlias = Callable[[int], socket.socket]

# What a kernel booted without IPv6 (the first) or with all of it switched off (the second) answers.
NO_IPV6_ERRNOS: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

ANY_IPV6: Final = "::"
ANY_IPV4: Final = "0.0.0.0"

_ADVICE: Final = {
    errno.EADDRINUSE: "another program uses the port; stop it or choose another port",
    errno.EACCES: "no permission; ports below 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EPERM: "no permission; a firewall rule or a missing capability forbids it",
    errno.EADDRNOTAVAIL: "this host has no such address; check the address and whether its interface is up",
    errno.EAFNOSUPPORT: "this kernel has no such address family; use an address of the other one",
    errno.ENETUNREACH: "there is no route to it; check that the network is up",
    errno.EHOSTUNREACH: "there is no route to it; check that the network is up",
}


class FirewallMarkError(PermissionError):
    """The process may not mark its packets for the firewall and the routing rules."""


class BindingRefusedError(Exception):
    """The endpoint cannot be bound."""


class BindingForbiddenError(BindingRefusedError, MissingRightsError):
    """This process lacks the right to bind the endpoint."""


def set_mark(unconnected_socket: socket.socket, mark: int) -> None:
    """Give everything that the socket sends the firewall mark ``mark``. Raises FirewallMarkError, OSError."""
    try:
        unconnected_socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except PermissionError as exc:
        raise FirewallMarkError(
            exc.errno, f"the firewall mark {mark} needs CAP_NET_ADMIN; run as root"
        ) from exc


def bound_socket(
    host: str | None, port: int, open_bound: Callable[[int, SocketAddress], socket.socket]
) -> socket.socket:
    """A socket on ``host`` (an IP literal) and ``port`` (0: any free one).

    None stands for ``::``, which both families reach through one socket, or for ``0.0.0.0`` where the kernel
    has no IPv6. ``open_bound`` opens, configures and binds a socket of a family; it leaves nothing open when
    it raises OSError. Raises BindingRefusedError.
    """
    if host is not None:
        return _bound_to(_literal(host, port), open_bound)
    try:
        return _bound_to(Endpoint(ANY_IPV6, port), open_bound)
    except BindingRefusedError as refusal:
        if not isinstance(refusal.__cause__, OSError) or refusal.__cause__.errno not in NO_IPV6_ERRNOS:
            raise
    return _bound_to(Endpoint(ANY_IPV4, port), open_bound)


def accept_ipv4_too(unbound_socket: socket.socket) -> None:
    """Let an IPv6 socket hear IPv4 peers, whatever the host's net.ipv6.bindv6only says."""
    if unbound_socket.family == socket.AF_INET6:
        unbound_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


def reason(exc: OSError) -> str:
    """Why the kernel refused and what can be done about it, to follow a colon in an error's text."""
    if not isinstance(exc, FirewallMarkError) and exc.errno in _ADVICE:
        return _ADVICE[exc.errno]
    return exc.strerror or str(exc)


def _bound_to(endpoint: Endpoint, open_bound: Callable[[int, SocketAddress], socket.socket]) -> socket.socket:
    family = family_of(endpoint)
    try:
        return open_bound(family, socket_address_of(endpoint, family))
    except OSError as exc:
        kind = BindingForbiddenError if isinstance(exc, PermissionError) else BindingRefusedError
        raise kind(f"{endpoint}: {reason(exc)}") from exc
    except OverflowError as exc:
        raise BindingRefusedError(f"{endpoint}: ports end at 65535") from exc


def _literal(host: str, port: int) -> Endpoint:
    try:
        return literal_endpoint(ip_address(host), port)
    except ValueError as exc:
        raise BindingRefusedError(
            f"{host!r}: it is not an IP address; a server binds addresses, not names"
        ) from exc
    except OSError as exc:
        raise BindingRefusedError(f"{host!r}: there is no such interface") from exc
