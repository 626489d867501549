"""Use cases: look at the peers of a server and change what they may (platform specification 10).

A server that runs takes up every change by itself. A peer is named by its number or by its name; digits alone
always are a number.

Errors::

    PeerError
    ├── PeerUnknownError     no peer has this number or name
    ├── PeerAmbiguousError   several peers have this name
    └── PeerNameError        the name cannot be given

``ConfigurationError`` passes through. Whatever fails, nothing has been changed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from application.runtime.configuration import ServerConfiguration
from domain.addressing.peers import Peer
from domain.addressing.tunnel import TunnelAddresses, client_addresses
from domain.settings.profile import TransportProtocol
from domain.settings.server import ServerSettings

LONGEST_PEER_NAME: Final = 64  # ours: a label, which has to fit a line beside key and addresses


class PeerError(Exception):
    """What was asked of a peer cannot be done; the text says what can."""


class PeerUnknownError(PeerError):
    """Nobody is called ``which``."""

    def __init__(self, which: str) -> None:
        self.which = which
        super().__init__(f"there is no peer {which!r}; 'tungo server peers list' shows numbers and names")


class PeerAmbiguousError(PeerError):
    """Several peers are called ``which``; ``client_ids`` are their numbers."""

    def __init__(self, which: str, client_ids: Iterable[int]) -> None:
        self.which = which
        self.client_ids = tuple(client_ids)
        numbers = ", ".join(str(client_id) for client_id in self.client_ids)
        super().__init__(f"{len(self.client_ids)} peers are called {which!r}; give a number: {numbers}")


class PeerNameError(PeerError):
    """``name`` cannot be given to a peer."""

    def __init__(self, name: str, expected: str) -> None:
        self.name = name
        self.expected = expected
        super().__init__(f"the name {name!r} cannot be given to a peer, expected {expected}")


@dataclass(frozen=True, slots=True)
class AdmittedPeer:
    """A peer and its addresses in the tunnels of the transports that are enabled."""

    peer: Peer
    addresses: tuple[tuple[TransportProtocol, TunnelAddresses], ...]


class Peers:
    """The peers in a server's configuration."""

    def __init__(self, configuration: ServerConfiguration) -> None:
        self._configuration = configuration

    def all(self) -> tuple[AdmittedPeer, ...]:
        """Every peer, in the order of the numbers. Raises ConfigurationError."""
        settings = self._configuration.load()
        return tuple(
            _admitted(settings, peer) for peer in sorted(settings.peers, key=lambda peer: peer.client_id)
        )

    def one(self, which: str) -> AdmittedPeer:
        """The peer with this number or name. Raises PeerError, ConfigurationError."""
        settings = self._configuration.load()
        return _admitted(settings, find_peer(settings.peers, which))

    def rename(self, which: str, name: str) -> Peer:
        """Give it another name; returns the peer as it is now. Raises PeerError, ConfigurationError."""

        def renamed(settings: ServerSettings, peer: Peer) -> Peer:
            others = [other for other in settings.peers if other is not peer]
            return replace(peer, name=checked_name(name, others))

        return self._changed(which, renamed)

    def set_enabled(self, which: str, *, enabled: bool) -> Peer:
        """Let it in, or keep it out and cut its sessions. Raises PeerError, ConfigurationError."""
        return self._changed(which, lambda _, peer: replace(peer, enabled=enabled))

    def remove(self, which: str) -> Peer:
        """Forget it; its number is free for the next client. Raises PeerError, ConfigurationError."""
        self.one(which)  # a mistake is told before anybody is made to wait
        removed: list[Peer] = []

        def without(settings: ServerSettings) -> ServerSettings:
            peer = find_peer(settings.peers, which)
            removed.append(peer)
            return replace(settings, peers=tuple(other for other in settings.peers if other is not peer))

        self._configuration.update(without)
        return removed[-1]

    def _changed(self, which: str, change: Callable[[ServerSettings, Peer], Peer]) -> Peer:
        self.one(which)
        changed: list[Peer] = []

        def with_change(settings: ServerSettings) -> ServerSettings:
            peer = find_peer(settings.peers, which)
            changed.append(change(settings, peer))
            return with_peer_replaced(settings, peer, changed[-1])

        self._configuration.update(with_change)
        return changed[-1]


def find_peer(peers: Iterable[Peer], which: str) -> Peer:
    """The peer with this number or name. Raises PeerUnknownError, PeerAmbiguousError."""
    if _is_number(which):
        found = [peer for peer in peers if str(peer.client_id) == which.lstrip("0")]
    else:
        found = [peer for peer in peers if peer.name and peer.name == which]
    if not found:
        raise PeerUnknownError(which)
    if len(found) > 1:
        raise PeerAmbiguousError(which, (peer.client_id for peer in found))
    return found[0]


def checked_name(name: str, others: Iterable[Peer]) -> str:
    """``name`` without blanks around it, if a peer beside ``others`` can have it. Raises PeerNameError."""
    stripped = name.strip()
    if not stripped or not stripped.isprintable() or len(stripped) > LONGEST_PEER_NAME:
        raise PeerNameError(name, f"1 to {LONGEST_PEER_NAME} characters that can be printed")
    if _is_number(stripped):
        raise PeerNameError(stripped, "more than digits, which always mean a peer's number")
    owner = next((other for other in others if other.name == stripped), None)
    if owner is not None:
        raise PeerNameError(stripped, f"a name that peer {owner.client_id} does not have")
    return stripped


def with_peer_replaced(settings: ServerSettings, old: Peer, new: Peer) -> ServerSettings:
    """``settings`` with ``new`` in the place of ``old``."""
    return replace(settings, peers=tuple(new if peer is old else peer for peer in settings.peers))


def _is_number(which: str) -> bool:
    return which.isascii() and which.isdigit()


def _admitted(settings: ServerSettings, peer: Peer) -> AdmittedPeer:
    addresses: list[tuple[TransportProtocol, TunnelAddresses]] = []
    for slot, profile in settings.slots:
        if slot not in settings.enabled:
            continue
        found = client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, peer.client_id)
        addresses.append((slot, found))
    return AdmittedPeer(peer, tuple(addresses))
