"""What a client sends through its tunnel, what past it, and what not at all. All of it is ours."""

from dataclasses import dataclass
from typing import Final

from domain.addressing.split import Network, Split, split


@dataclass(frozen=True, slots=True)
class TunnelRouting:
    """A client's choice of what the tunnel is for.

    Only what is in ``include`` goes through it, or everything where that is empty, and nothing that is in
    ``exclude``. ``exclude_lan`` keeps the networks that the host is connected to at the moment out of the
    tunnel, too. ``allow_ipv6_leak`` lets IPv6 past a tunnel that does not carry it; otherwise it goes
    nowhere.

    ``kill_switch`` lets nothing leave the host but through the tunnel, with or without a client running, and
    whatever the other members say; only the connected networks stay reachable, and these with ``allow_lan``
    alone.
    """

    include: tuple[Network, ...] = ()
    exclude: tuple[Network, ...] = ()
    exclude_lan: bool = True
    allow_ipv6_leak: bool = False
    kill_switch: bool = False
    allow_lan: bool = True

    @property
    def split(self) -> Split:
        """``include`` and ``exclude`` as the entries of a routing table."""
        return split(self.include, self.exclude)


# What a file that says nothing asks for.
DEFAULT_ROUTING: Final = TunnelRouting()
