"""How large an aggregated frame may be: the receiver measures the loss, the sender follows (aggregation 4).

A frame is lost when one of its datagrams is, so that the frames have to shrink when datagrams get lost. The
receiver counts in the order of the counters, not of arrival: a frame is *settled*, and counts, when a frame
REORDERING places behind it has been authenticated. What comes later than that was lost for all purposes;
what is merely overtaken is not missing. Received and missing datagrams of the same frames stand in
the same report, however traffic comes and goes.

What is counted, per settled counter of the current epoch:

=========================  ==================  =================================================
what became of it          received            missing
=========================  ==================  =================================================
an ordinary datagram came  1                   0
none came                  0                   1
a frame came whole         its datagrams       0
a frame came in part       what came of it     the rest
nothing of a frame came    0                   1: how many it had nobody knows, and a loss that takes
                                               whole frames does not get rarer with smaller ones
=========================  ==================  =================================================

A second of frames of which every tenth or more gets lost is a second in which the streams in the tunnel
collapse, and they take seconds to recover. Then a report comes early and takes all that there is for settled.

The last REORDERING counters of an epoch are never settled. Chunks are not authenticated one by one, so that
whoever can forge datagrams on the path can have missing ones counted, as if it had taken real ones
away; the worst that comes of it is frames of one datagram.
"""

from typing import Final

from domain.packets.service import loss_report
from domain.session.chunks import MOST_CHUNKS
from domain.session.epochs import ReceiveEpoch
from domain.session.identifiers import FIRST_EPOCH
from domain.session.nonce import ORDINARY_HIGH
from domain.session.replay import WINDOW_BITS

# The protocol's (aggregation 4).
MOST_DATAGRAMS: Final = MOST_CHUNKS
REPORT_PERIOD_S: Final = 1.0
FRAME_LOSS_PERCENT: Final = 3  # the share of frames that may be lost: limit = 0.03 / p

# Ours: a report comes early when so many frames came in part, and so large a share of all.
EARLY_PERIOD_S: Final = 0.1
MANY_IN_PART: Final = 10
LARGE_SHARE: Final = 10  # every tenth

# Ours: how many datagrams have to arrive, and none be missing, before the limit is doubled, times the limit:
# at the loss for which twice the limit is too much, so many hardly ever all arrive.
CLEAN_DATAGRAMS: Final = 200

# Ours: smaller frames than this cost more than they save. Each takes a system call of its own, where ordinary
# datagrams share one: with two in a frame a tunnel is a sixth slower than without frames, with three as
# fast, and with four faster.
LEAST_WORTHWHILE: Final = 4

# Ours: how many counters may pass before one of them that has not come counts as missing. Paths that reorder
# more than this are rare, and 64 frames of full size are 35 ms of a saturated gigabit.
REORDERING: Final = 64


class FrameLimit:
    """How many datagrams the frames that we send may span: at least 1, at most MOST_DATAGRAMS.

    At a steady loss the limit only goes down, each report taking the smaller of the old and the new one, and
    so ends at the worst second's value; it does not swing. It comes back when the loss ends, in six clean
    seconds from 1 to the whole, if there is enough traffic to tell: an idle tunnel loses nothing on the worst
    of paths. What a lying peer can do with its reports is slow its own download.
    """

    __slots__ = ("_clean", "datagrams")

    def __init__(self) -> None:
        self.datagrams = MOST_DATAGRAMS
        self._clean = 0  # datagrams that arrived since one was missing or the limit was doubled

    @property
    def worthwhile(self) -> int:
        """How many datagrams frames should span: as many as they may, or one."""
        return self.datagrams if self.datagrams >= LEAST_WORTHWHILE else 1

    def report(self, received: int, missing: int) -> None:
        """The peer's count of a second; one that says that nothing arrived says nothing."""
        if received == 0:
            return
        if missing:
            # floor(0.03 / p) with p = missing / all, in whole numbers
            allowed = FRAME_LOSS_PERCENT * (received + missing) // (100 * missing)
            self.datagrams = max(1, min(self.datagrams, allowed))
            self._clean = 0
            return
        self._clean += received
        if self._clean >= CLEAN_DATAGRAMS * self.datagrams:
            self.datagrams = min(2 * self.datagrams, MOST_DATAGRAMS)
            self._clean = 0


class LossCounter:
    """Counts what the other end's datagrams have come to, since the last report."""

    __slots__ = (
        "_due_at_s",
        "_early_from_s",
        "_epoch",
        "_far",
        "_frames",
        "_highest",
        "_in_part",
        "_missing",
        "_ordinary_epoch",
        "_ordinary_settled",
        "_received",
        "_settled",
        "_whole",
    )

    def __init__(self) -> None:
        self._received = 0
        self._missing = 0
        self._due_at_s: float | None = None  # when the second is over that began with the first count
        self._early_from_s = 0.0
        self._whole = self._in_part = 0  # near frames, since the last report
        self._epoch: int = FIRST_EPOCH
        self._highest = 0  # the newest frame that was authenticated
        self._settled = 0  # every frame up to here has been counted
        # Received and missing of later ones; 2 * REORDERING of them at most.
        self._frames: dict[int, tuple[int, int]] = {}
        self._far = 0  # frames given up beyond these, since the last one was authenticated
        self._ordinary_epoch: int = FIRST_EPOCH
        self._ordinary_settled = 0

    def arrived(self, epoch: int, low: int, datagrams: int) -> None:
        """A frame of this many datagrams has been authenticated."""
        if epoch != self._epoch:
            if epoch < self._epoch:
                return
            self._begin(epoch)
        self._far = 0
        if low <= self._settled:
            return
        self._whole += 1
        self._frames[low] = (datagrams, 0)
        if low > self._highest:
            self._highest = low
            if low - REORDERING > self._settled:
                self._settle(low - REORDERING)

    def abandoned(self, epoch: int, low: int, received: int, missing: int) -> None:
        """Nothing is expected of this frame any more.

        It may be a forgery: only what is near the authenticated ones is remembered, and it counts only when
        they reach it. If none does any more, so many get lost that no frame comes whole, and without a report
        none ever would: then what was far from them counts at once.
        """
        if epoch < self._epoch or (epoch == self._epoch and low <= self._settled):
            return
        if epoch == self._epoch and low <= self._highest + REORDERING:
            self._frames[low] = (received, missing)
            self._in_part += low < self._highest  # those behind the authentic ones are not believed yet
            return
        self._far += 1
        if self._far > REORDERING:
            self._received += received
            self._missing += missing

    def is_abandoned(self, epoch: int, low: int, late: int) -> bool:
        """Whether this frame was given up; then ``late`` datagrams of it, which came now, are not missing."""
        if epoch != self._epoch:
            return False
        counted = self._frames.get(low)
        if counted is None:
            return False
        received, missing = counted
        late = min(late, missing)
        self._frames[low] = (received + late, missing - late)
        return True

    def ordinary(self, held: ReceiveEpoch) -> None:
        """Count the ordinary datagrams of the newest epoch; to be called after each batch of them."""
        if held.epoch != self._ordinary_epoch:
            self._ordinary_epoch = held.epoch
            self._ordinary_settled = 0
        newest = held.window.newest(ORDINARY_HIGH)
        settled = newest - REORDERING
        # What has left the window between two batches is not known any more and is not counted.
        after = max(self._ordinary_settled, newest - WINDOW_BITS)
        if settled > after:
            received = held.window.accepted_between(ORDINARY_HIGH, after, settled)
            self._received += received
            self._missing += settled - after - received
            self._ordinary_settled = settled

    def report(self, now_s: float) -> bytes | None:
        """The service packet for the sender, a second after something was first counted for it; else None.

        Much earlier if many frames come in part.
        """
        if now_s >= self._early_from_s and self._loses_many_frames():
            if self._highest > self._settled:
                self._settle(self._highest)
            self._due_at_s = now_s
        if self._received == 0:
            return None
        if self._due_at_s is None:
            self._due_at_s = now_s + REPORT_PERIOD_S
        if now_s < self._due_at_s:
            return None
        packet = loss_report(self._received, self._missing)
        self._received = self._missing = self._whole = self._in_part = 0
        self._due_at_s = None
        self._early_from_s = now_s + EARLY_PERIOD_S
        return packet

    def _begin(self, epoch: int) -> None:
        # What the old epoch has not settled may still be under way: only what is known of it counts.
        for received, missing in self._frames.values():
            self._received += received
            self._missing += missing
        self._frames.clear()
        self._epoch = epoch
        self._highest = self._settled = 0

    def _loses_many_frames(self) -> bool:
        in_part = self._in_part
        return in_part >= MANY_IN_PART and LARGE_SHARE * in_part >= in_part + self._whole

    def _settle(self, last: int) -> None:
        """Count every frame up to ``last``. A peer's leap over any number of counters costs no more."""
        untold = last - self._settled
        known = [last] if untold == 1 else [low for low in self._frames if low <= last]
        for low in known:
            received, missing = self._frames.pop(low, (0, 1))
            self._received += received
            self._missing += missing
        self._missing += untold - len(known)
        self._settled = last
