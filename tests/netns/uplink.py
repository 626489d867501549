"""A host with an uplink: a gateway, and behind it an IPv4 and an IPv6 address for the Internet."""

import socket
from functools import partial
from typing import Final

from tests.netns.bed import Namespace, NetnsBed

HOST: Final = "192.0.2.2"
HOST_V6: Final = "2001:db8::2"
NEIGHBOUR: Final = "192.0.2.1"  # the gateway's address on the common network
NEIGHBOUR_V6: Final = "2001:db8::1"
INTERNET: Final = "198.51.100.1"
INTERNET_V6: Final = "2001:db8:f::1"
PORT: Final = 4001

# A veth pair delivers at once; only what is dropped waits this long.
_PATIENCE_S: Final = 0.2


class Uplink:
    """Two namespaces, ``host`` and ``gateway``; the host's default routes lead to the gateway."""

    def __init__(self, bed: NetnsBed) -> None:
        self.host: Namespace = bed.namespace("host")
        self.gateway: Namespace = bed.namespace("gateway")
        self.interface, self.gateway_interface = bed.join(
            self.host,
            [f"{HOST}/24", f"{HOST_V6}/64"],
            self.gateway,
            [f"{NEIGHBOUR}/24", f"{NEIGHBOUR_V6}/64"],
        )
        self.host.run("ip", "route", "add", "default", "via", NEIGHBOUR)
        self.host.run("ip", "-6", "route", "add", "default", "via", NEIGHBOUR_V6)
        self.gateway.run("ip", "addr", "add", f"{INTERNET}/32", "dev", "lo")
        self.gateway.run("ip", "addr", "add", f"{INTERNET_V6}/128", "dev", "lo", "nodad")

    def host_socket(self, address: str, mark: int = 0) -> socket.socket:
        """An unbound UDP socket of the host for talking to ``address``; the caller closes it."""
        made = self.host.call(partial(socket.socket, _family(address), socket.SOCK_DGRAM))
        made.settimeout(_PATIENCE_S)
        if mark:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        return made

    def internet_socket(self, address: str) -> socket.socket:
        """A UDP socket of the gateway on ``address``, port 4001; the caller closes it."""
        made = self.gateway.call(partial(socket.socket, _family(address), socket.SOCK_DGRAM))
        made.settimeout(_PATIENCE_S)
        made.bind((address, PORT))
        return made

    def answers(self, address: str, mark: int = 0) -> bool:
        """Whether a datagram of the host reaches the gateway's ``address`` and an answer comes back.

        False only if one of them gets lost; a refusal by the host's kernel is raised.
        """
        with self.internet_socket(address) as there, self.host_socket(address, mark) as here:
            try:
                here.sendto(b"question", (address, PORT))
                question, source = there.recvfrom(100)
                there.sendto(b"answer to " + question, source)
                return here.recv(100) == b"answer to question"
            except TimeoutError:
                return False


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
