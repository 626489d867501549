"""Where all contenders are measured: one server, and each client on a cable of its own.

::

    client 1 namespace                 server namespace                 client 2 namespace
    198.18.1.2   ------------ 198.18.1.1            198.18.2.1 ------------   198.18.2.2     ...

The addresses are from the block for benchmarks (RFC 2544). Cables have an MTU of 1500 and, as veth has it,
carry a run of segments as one packet. On a lossy bed the kernel cuts the runs up before the cable, because
otherwise a single loss would take all of a run; so a lossy bed without losses is slower than the usual one.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

from tests.netns.bed import Namespace, NetnsBed

MOST_CLIENTS: Final = 200  # one third byte each

# Both ends lose what they receive. The table is made first so that there is one to delete.
_LOSS: Final = "add table inet loss; delete table inet loss; "
_LOSE: Final = (
    "add table inet loss; "
    "add chain inet loss arriving {{ type filter hook prerouting priority raw; }}; "
    'add rule inet loss arriving iifname "veth*" numgen random mod 1000 < {per_thousand} drop'
)


class StarBed:
    """Namespaces of a server and its clients, joined by cables; client ``n`` is ``clients[n]``."""

    def __init__(self, bed: NetnsBed, client_count: int, *, lossy: bool) -> None:
        """``lossy`` beds take ``lose``."""
        assert client_count <= MOST_CLIENTS
        self._lossy = lossy
        self.server: Namespace = bed.namespace("server")
        self.clients: list[Namespace] = []
        for number in range(client_count):
            client = bed.namespace(f"client{number}")
            addresses = (f"{self.server_address(number)}/24", f"198.18.{number + 1}.2/24")
            server_end, client_end = bed.join(self.server, [addresses[0]], client, [addresses[1]])
            client.run("ip", "route", "add", "default", "via", self.server_address(number))
            if lossy:
                self.server.run("ip", "link", "set", server_end, "gso_max_segs", "1")
                client.run("ip", "link", "set", client_end, "gso_max_segs", "1")
            self.clients.append(client)

    def server_address(self, number: int) -> str:
        """The server as client ``number`` sees it."""
        return f"198.18.{number + 1}.1"

    def lose(self, per_thousand: int) -> None:
        """From now on so many of a thousand packets on every cable are lost, in both directions."""
        assert self._lossy
        rules = _LOSS + (_LOSE.format(per_thousand=per_thousand) if per_thousand else "")
        for end in (self.server, *self.clients):
            end.run("nft", rules)


@contextlib.contextmanager
def opened_star(client_count: int, *, lossy: bool = False) -> Iterator[StarBed]:
    """A bed without a tunnel; its namespaces are gone on exit."""
    with NetnsBed() as bed:
        yield StarBed(bed, client_count, lossy=lossy)
