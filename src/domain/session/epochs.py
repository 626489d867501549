"""The epochs in which datagrams are accepted (specification 2.4)."""

from typing import Final

from domain.noise.primitives import Aead
from domain.session.identifiers import Epoch
from domain.session.nonce import SessionError
from domain.session.replay import ReplayWindow

# The protocol's (specification 2.4, and 2.1 for the width of the field).
RING_EPOCHS: Final = 4
LAST_EPOCH_ON_THE_WIRE: Final = 0xFFFF


class EpochRefusedError(SessionError):
    """An epoch cannot be staged or activated now; nothing has changed."""

    def __init__(self, epoch: Epoch, reason: str) -> None:
        super().__init__(f"epoch {epoch} refused: {reason}")
        self.epoch = epoch
        self.reason = reason


class ReceiveEpoch:
    """One epoch's opening key and the counters received under it.

    ``window`` is for ordinary datagrams, ``frames`` for aggregated ones, which only some peers send.
    """

    __slots__ = ("epoch", "frames", "opening", "window")

    def __init__(self, epoch: Epoch, opening: Aead) -> None:
        self.epoch = epoch
        self.opening = opening
        self.window = ReplayWindow()
        self.frames = ReplayWindow()


class EpochRing:
    """At most four receive epochs, oldest first; every one of them is accepted, however old.

    Laws: it is never empty; epoch numbers only grow; the send epoch is always in it.
    """

    __slots__ = ("_by_epoch", "newest")

    def __init__(self, epoch: Epoch, opening: Aead) -> None:
        self.newest = ReceiveEpoch(epoch, opening)
        self._by_epoch: dict[int, ReceiveEpoch] = {epoch: self.newest}

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """The epochs held, oldest first."""
        return tuple(held.epoch for held in self._by_epoch.values())

    def find(self, epoch: int) -> ReceiveEpoch | None:
        """The keys of ``epoch``, straight from the wire; None if it is not, or no longer, in the ring."""
        return self._by_epoch.get(epoch)

    def stage(self, epoch: Epoch, opening: Aead, send_epoch: Epoch) -> None:
        """Accept ``epoch`` from now on; if the ring is full, the oldest epoch and its key are let go.

        Raises EpochRefusedError if ``epoch`` is not newer than all that are held or does not fit its
        16 bits, and if the ring is full and its oldest epoch is the one we still send in.
        """
        if not self.newest.epoch < epoch <= LAST_EPOCH_ON_THE_WIRE:
            raise EpochRefusedError(epoch, f"it must follow {self.newest.epoch} and fit 16 bits")
        if len(self._by_epoch) == RING_EPOCHS:
            oldest = next(iter(self._by_epoch))
            if oldest == send_epoch:
                raise EpochRefusedError(epoch, "the ring is full and its oldest epoch is the send epoch")
            del self._by_epoch[oldest]
        self.newest = self._by_epoch[epoch] = ReceiveEpoch(epoch, opening)
