"""The sessions of one listener and the names by which they are found (protocol specification 8.1, 8.2)."""

from collections.abc import Iterator
from typing import Final

from application.network.connection.crypto import ParcelCrypto
from application.network.connection.egress import Egress, PeerEgress
from domain.addressing.peers import Peer
from domain.addressing.sources import AllowedSources
from domain.addressing.tunnel import TunnelAddresses
from domain.rekey.server import ServerRekey
from domain.session.identifiers import RouteId
from domain.session.liveness import is_idle

# Ours: sessions of one peer that wait for their first authenticated frame. A repeated message 1 opens none;
# whoever has this many different recordings could still displace the one that the peer is about to use,
# within the round trip that it waits.
MAX_WAITING_PER_PEER: Final = 16


class PeerSession:
    """A peer's session on this server.

    ``frames_route_id`` is that of aggregated frames, None for a peer that knows none.
    ``last_authenticated_s`` is on the monotonic clock; it starts with the registration. ``proven`` says that
    something authentic has come in the session, so that the other end is known to hold the private key.
    """

    __slots__ = (
        "addresses",
        "crypto",
        "egress",
        "frames_route_id",
        "last_authenticated_s",
        "peer",
        "proven",
        "rekey",
        "route_id",
        "sources",
    )

    def __init__(
        self,
        *,
        peer: Peer,
        route_id: RouteId,
        frames_route_id: RouteId | None = None,
        addresses: TunnelAddresses,
        crypto: ParcelCrypto,
        egress: PeerEgress,
        rekey: ServerRekey,
        now_s: float,
    ) -> None:
        self.peer = peer
        self.route_id = route_id
        self.frames_route_id = frames_route_id
        self.addresses = addresses
        self.crypto = crypto
        self.egress = egress
        self.rekey = rekey
        self.sources = AllowedSources(addresses.ipv4.ip, addresses.ipv6.ip if addresses.ipv6 else None)
        self.last_authenticated_s = now_s
        self.proven = False

    def __repr__(self) -> str:
        return f"<PeerSession client {self.peer.client_id} at {self.egress.endpoint}>"


class SessionRepository:
    """Finds a session by what its frames came with (a route id, a connection) or by tunnel address.

    Each is one dictionary look-up.

    A new session of a peer that has one already waits until its first authenticated frame arrives
    (``prove``): only the holder of the private key can send that, so a replayed message 1 evicts nobody.
    Until then the old session keeps the tunnel addresses. A peer without a session gets the new one's
    addresses at once, because a Go client may be silent for seconds after its handshake.
    """

    def __init__(self) -> None:
        self._by_route: dict[bytes, PeerSession] = {}
        self._by_egress: dict[Egress, PeerSession] = {}
        self._by_address: dict[bytes, PeerSession] = {}
        self._by_key: dict[bytes, list[PeerSession]] = {}
        self._taking_super_packets = 0

    @property
    def some_take_super_packets(self) -> bool:
        """Whether there is a session whose peer takes super-packets whole."""
        return self._taking_super_packets > 0

    def __len__(self) -> int:
        return len(self._by_egress)

    def __iter__(self) -> Iterator[PeerSession]:
        return iter(list(self._by_egress.values()))

    def find_by_route_id(self, route_id: bytes) -> PeerSession | None:
        """The session that datagrams with this route id, of either kind, belong to, proven or not."""
        return self._by_route.get(route_id)

    def find_by_egress(self, egress: Egress) -> PeerSession | None:
        """The session that answers through ``egress``, proven or not: the owner of a stream's frames."""
        return self._by_egress.get(egress)

    def find_by_tunnel_address(self, address: bytes) -> PeerSession | None:
        """The session that this inner address, 4 or 16 raw bytes, leads to."""
        return self._by_address.get(address)

    def find_by_public_key(self, public_key: bytes) -> list[PeerSession]:
        """All sessions of this peer, oldest first."""
        return list(self._by_key.get(public_key, ()))

    def add(self, session: PeerSession) -> None:
        """Index a session that has just been registered."""
        waiting = [s for s in self.find_by_public_key(session.peer.public_key) if not s.proven]
        if len(waiting) >= MAX_WAITING_PER_PEER:
            self.remove(waiting[0])
        self._by_key.setdefault(session.peer.public_key, []).append(session)
        for route_id in _route_ids(session):
            self._by_route[route_id] = session
        self._by_egress[session.egress] = session
        self._taking_super_packets += session.frames_route_id is not None
        if all(raw not in self._by_address for raw in _raw_addresses(session)):
            self._take_addresses(session)

    def prove(self, session: PeerSession) -> list[PeerSession]:
        """``session`` has had its first authenticated frame: it takes over its tunnel addresses.

        Returns the sessions that it replaced, already removed: whoever held one of the addresses, and the
        peer's older sessions.
        """
        siblings = self.find_by_public_key(session.peer.public_key)
        holders = [self._by_address.get(raw) for raw in _raw_addresses(session)]
        replaced = dict.fromkeys(siblings[: siblings.index(session)])
        replaced.update(dict.fromkeys(s for s in holders if s is not None and s is not session))
        for predecessor in replaced:
            self.remove(predecessor)
        session.proven = True
        self._take_addresses(session)
        return list(replaced)

    def remove(self, session: PeerSession) -> None:
        """Forget ``session`` and close its egress; a second call does nothing.

        Index entries that have passed to another session stay (specification 8.1, the defect of March).
        """
        siblings = self._by_key.get(session.peer.public_key, [])
        if session not in siblings:
            return
        siblings.remove(session)
        if not siblings:
            del self._by_key[session.peer.public_key]
        for route_id in _route_ids(session):
            if self._by_route.get(route_id) is session:
                del self._by_route[route_id]
        del self._by_egress[session.egress]
        self._taking_super_packets -= session.frames_route_id is not None
        for raw in _raw_addresses(session):
            if self._by_address.get(raw) is session:
                del self._by_address[raw]
        session.egress.close()

    def expire(self, now_s: float) -> list[PeerSession]:
        """Remove and return the sessions that have been silent for too long (specification 2.7)."""
        expired = [s for s in self._by_egress.values() if is_idle(s.last_authenticated_s, now_s)]
        for session in expired:
            self.remove(session)
        return expired

    def _take_addresses(self, session: PeerSession) -> None:
        for raw in _raw_addresses(session):
            self._by_address[raw] = session


def _route_ids(session: PeerSession) -> list[RouteId]:
    if session.frames_route_id is None:
        return [session.route_id]
    return [session.route_id, session.frames_route_id]


def _raw_addresses(session: PeerSession) -> list[bytes]:
    addresses = session.addresses
    raw = [addresses.ipv4.ip.packed]
    if addresses.ipv6 is not None:
        raw.append(addresses.ipv6.ip.packed)
    return raw
