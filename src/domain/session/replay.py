"""Which counters were received already (specification 2.3).

One window per receive epoch. Inside it counters are told apart by their high 16 bits: each value of counter
high has a *lane* of its own, so that the end of one lane and the beginning of the next can overlap in flight.

Law: ask ``is_fresh``, authenticate, then ``accept``. A window that moved for an unauthenticated datagram
could be pushed ahead by anybody, and the real traffic would fall behind it.
"""

from typing import Final

# The protocol's (specification 2.3).
WINDOW_BITS: Final = 1024
LANES: Final = 4

_WINDOW_MASK: Final = (1 << WINDOW_BITS) - 1


class _Lane:
    """The greatest counter low seen, and a map in which bit d stands for the counter d below it."""

    __slots__ = ("maximum", "seen")

    def __init__(self) -> None:
        self.maximum = 0
        self.seen = 0


class ReplayWindow:
    """The counters of one epoch and direction that must not be accepted again."""

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}  # by counter high, in order of creation

    def is_fresh(self, high: int, low: int) -> bool:
        """Whether this counter was not accepted yet and is recent enough to know. Changes nothing."""
        lane = self._lanes.get(high)
        if lane is None:
            return True
        distance = lane.maximum - low
        if distance < 0:
            return True
        return distance < WINDOW_BITS and not lane.seen >> distance & 1

    def accept(self, high: int, low: int) -> None:
        """Remember the counter of an authenticated datagram for which ``is_fresh`` was true."""
        lane = self._lanes.get(high)
        if lane is None:
            lane = self._open_lane(high)
        ahead = low - lane.maximum
        if ahead > 0:
            # The bound comes first: a jump of 2^63 must not ask for an integer of 2^63 bits.
            lane.seen = (lane.seen << ahead | 1) & _WINDOW_MASK if ahead < WINDOW_BITS else 1
            lane.maximum = low
        else:
            lane.seen |= 1 << -ahead

    def newest(self, high: int) -> int:
        """The greatest counter low accepted in this lane, 0 for none."""
        lane = self._lanes.get(high)
        return lane.maximum if lane else 0

    def accepted_between(self, high: int, after: int, last: int) -> int:
        """How many counters of ``after < low <= last`` were accepted in this lane.

        Only for counters that the window still knows: ``newest - WINDOW_BITS <= after <= last <= newest``.
        """
        lane = self._lanes.get(high)
        if lane is None:
            return 0
        return (lane.seen >> lane.maximum - last & (1 << last - after) - 1).bit_count()

    def _open_lane(self, high: int) -> _Lane:
        """A new lane; the oldest created makes room, however recently it was used."""
        if len(self._lanes) == LANES:
            del self._lanes[next(iter(self._lanes))]
        lane = self._lanes[high] = _Lane()
        return lane
