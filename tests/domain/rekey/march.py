"""March's rekey, both sides, as specification 5.6 describes it: what our machines meet in old installations.

It has the weaknesses of the original on purpose: the carrier epoch is not looked at, a repeated init is a
new one, and over datagrams a server forgets a staged epoch after a while and gives its number away again.
``test_scenarios.py`` holds it against recordings of the original.
"""

from dataclasses import dataclass

from domain.noise.keys import EpochKeys, KeyPair
from domain.noise.primitives import Primitives
from domain.packets.service import SERVICE_HEADER_BYTES, rekey_ack_v1, rekey_init_v1
from domain.rekey.derivation import RekeyRefusedError, v1_keys

ABORT_AFTER_S = 5.0
PACKET_BYTES = SERVICE_HEADER_BYTES + 32


@dataclass
class Staged:
    epoch: int
    keys: EpochKeys
    since_s: float


class MarchServer:
    """Staged (``pending``) or stable; it activates once any epoch from the staged one on was seen."""

    def __init__(self, primitives: Primitives, keys: EpochKeys) -> None:
        self._primitives = primitives
        self.current_keys = keys
        self.send_epoch = 0
        self.staged: Staged | None = None
        self._highest_seen = 0

    def init(self, packet: bytes, ephemeral_private: bytes, now_s: float) -> bytes | None:
        """The ack; None if the init is ignored."""
        if self.staged is not None or len(packet) < PACKET_BYTES:
            return None
        public = packet[SERVICE_HEADER_BYTES:PACKET_BYTES]
        try:
            keys = v1_keys(self._primitives, self.current_keys, ephemeral_private, public)
        except RekeyRefusedError:
            return None
        self.staged = Staged(self.send_epoch + 1, keys, now_s)
        self.seen(self._highest_seen)
        return rekey_ack_v1(KeyPair.from_private(self._primitives, ephemeral_private).public)

    def seen(self, epoch: int) -> bool:
        """An authenticated frame of ``epoch``; whether the send epoch moved on."""
        self._highest_seen = max(self._highest_seen, epoch)
        if self.staged is None or self._highest_seen < self.staged.epoch:
            return False
        self.send_epoch, self.current_keys = self.staged.epoch, self.staged.keys
        self.staged = None
        return True

    def expire(self, now_s: float) -> None:
        """Forget a staged epoch that the client did not use in time."""
        if self.staged is not None and now_s - self.staged.since_s >= ABORT_AFTER_S:
            self.staged = None


class MarchClient:
    """Keeps its key until some ack comes, whatever carried it, and sends in the new epoch at once."""

    def __init__(self, primitives: Primitives, keys: EpochKeys) -> None:
        self._primitives = primitives
        self._pending: KeyPair | None = None
        self.current_keys = keys
        self.send_epoch = 0

    def init(self, ephemeral_private: bytes) -> bytes:
        """The init; while one is pending, the same again."""
        if self._pending is None:
            self._pending = KeyPair.from_private(self._primitives, ephemeral_private)
        return rekey_init_v1(self._pending.public)

    def ack(self, packet: bytes) -> bool:
        """Whether the ack was taken."""
        if self._pending is None or len(packet) < PACKET_BYTES:
            return False
        public = packet[SERVICE_HEADER_BYTES:PACKET_BYTES]
        self.current_keys = v1_keys(self._primitives, self.current_keys, self._pending.private, public)
        self.send_epoch += 1
        self._pending = None
        return True
