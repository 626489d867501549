"""Who may connect: the access list of a server (protocol specification 8.3)."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One entry of the access list; the public key is the identity.

    ``client_id`` is 1 or more and determines the tunnel addresses (specification 8.4).
    """

    public_key: bytes
    client_id: int
    name: str = ""
    enabled: bool = True


class AccessList:
    """Which public keys may open a session; an immutable snapshot, replaced as a whole.

    Raises ValueError when two entries share a public key or a client id.
    """

    __slots__ = ("_by_key",)

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self._by_key: dict[bytes, Peer] = {}
        client_ids: set[int] = set()
        for peer in peers:
            if peer.public_key in self._by_key:
                raise ValueError(f"two peers share the public key of client {peer.client_id}")
            if peer.client_id in client_ids:
                raise ValueError(f"two peers share the client id {peer.client_id}")
            self._by_key[peer.public_key] = peer
            client_ids.add(peer.client_id)

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, public_key: bytes) -> Peer | None:
        """The entry of this key, enabled or not; None for a stranger."""
        return self._by_key.get(public_key)

    def admits(self, peer: Peer) -> bool:
        """Whether a session that was opened as ``peer`` may go on: same key, same client id, enabled."""
        entry = self._by_key.get(peer.public_key)
        return entry is not None and entry.enabled and entry.client_id == peer.client_id
