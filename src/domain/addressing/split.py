"""What goes through a tunnel and what goes past it, when a configuration names networks for either.

The definition: an address goes into the tunnel if it is in an included network and in no excluded one; where
nothing is included, everything is. A routing table says the same with two kinds of entries, of which the
longest prefix that matches an address counts::

    Include 10.0.0.0/8   Exclude 10.1.0.0/16, 192.0.2.0/24
    into the tunnel      10.0.0.0/8
    past it              10.1.0.0/16             (192.0.2.0/24 goes past it anyway)

Networks are nested or apart, never anything between, so that no network needs to be cut into pieces.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_EVERYTHING: Final[tuple[Network, ...]] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


@dataclass(frozen=True, slots=True)
class Split:
    """The entries of a routing table, IPv4 before IPv6, each list minimal and in ascending order.

    Every network of ``past`` is part of one of ``into_tunnel`` and smaller than it. An IP version of which
    ``into_tunnel`` has no network goes past the tunnel as a whole.
    """

    into_tunnel: tuple[Network, ...]
    past: tuple[Network, ...]


def split(include: Iterable[Network], exclude: Iterable[Network]) -> Split:
    """What follows from the two lists; an empty ``include`` stands for everything of both IP versions."""
    excluded = _minimal(exclude)
    into_tunnel = _without_parts_of(excluded, _minimal(include) or _EVERYTHING)
    outside = set(_without_parts_of(into_tunnel, excluded))
    return Split(into_tunnel, tuple(network for network in excluded if network not in outside))


def _minimal(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The same addresses in as few networks as possible.

    A network all of whose addresses are covered is then part of a single one.
    """
    every = list(networks)
    return (
        *collapse_addresses(network for network in every if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in every if isinstance(network, IPv6Network)),
    )


def _without_parts_of(covering: Iterable[Network], networks: Iterable[Network]) -> tuple[Network, ...]:
    """Those of ``networks`` that are neither in ``covering`` nor part of one that is.

    Looking the longer prefixes up one by one takes the same time however many networks there are: lists of
    whole countries have thousands.
    """
    known = frozenset(covering)
    lengths = sorted({network.prefixlen for network in known})

    def is_covered(network: Network) -> bool:
        return any(
            network.supernet(new_prefix=length) in known for length in lengths if length <= network.prefixlen
        )

    return tuple(network for network in networks if not is_covered(network))
