"""Putting the chunks of aggregated frames together again (aggregation 3).

Chunks are not authenticated one by one: whoever has seen one datagram of a session can make more of them. So
nothing here believes a chunk. A lie costs the frame that it is told about, and one frame in flight at
most gives way to a frame that does not exist; memory is bounded by FRAMES_IN_FLIGHT and HELD_BYTES.
"""

from collections.abc import Sequence
from typing import Final

from domain.session.loss import LossCounter

# The protocol's (aggregation 3), per peer.
FRAMES_IN_FLIGHT: Final = 4
HELD_BYTES: Final = 256 << 10


class _Frame:
    """A frame of which something has come. ``chunks`` has b"" where nothing has: no chunk is empty."""

    __slots__ = ("chunk_bytes", "chunks", "held_bytes", "missing", "ordinal")

    def __init__(self, count: int, ordinal: int) -> None:
        self.chunks = [b""] * count
        self.missing = count
        self.held_bytes = 0
        self.chunk_bytes = 0  # of all chunks but the last; 0 while none of them has come
        self.ordinal = ordinal  # how many frames had begun before it


class Reassembly:
    """The frames of one peer that have come in part."""

    __slots__ = ("_begun", "_frames", "_loss", "contradictory", "held_bytes", "incomplete", "repeated")

    def __init__(self, loss: LossCounter) -> None:
        self._loss = loss
        self._frames: dict[tuple[int, int], _Frame] = {}  # by epoch and counter, oldest first
        self._begun = 0  # frames, since the session began
        self.held_bytes = 0
        self.incomplete = 0  # frames given up
        self.contradictory = 0  # datagrams that do not fit the others of their frame
        self.repeated = 0  # datagrams that are there already, or belong to a frame that was given up

    @property
    def refused(self) -> int:
        """How many datagrams were of no use."""
        return self.contradictory + self.repeated

    @property
    def in_flight(self) -> int:
        """How many frames have come in part."""
        return len(self._frames)

    def add(self, epoch: int, low: int, index: int, count: int, chunks: Sequence[bytes]) -> bytes | None:
        """Take consecutive chunks of a frame, from ``index`` on; returns the sealed frame that they complete.

        None of them is empty, and ``index + len(chunks) <= count``. All but the last have the same length,
        and the last is not longer.
        """
        if len(chunks) == count:
            # Whatever came of it before may be forged; this may be genuine.
            self._begin()
            return chunks[0] if count == 1 else b"".join(chunks)
        key = (epoch, low)
        frame = self._frames.get(key)
        if frame is None:
            if self._loss.is_abandoned(epoch, low, len(chunks)):
                self.repeated += len(chunks)
                return None
            frame = self._frames[key] = _Frame(count, self._begin())
        if not _fits(frame, index, count, chunks):
            self.contradictory += len(chunks)
            return None
        self._put(frame, index, chunks)
        if not frame.missing:
            self._forget(key)
            return b"".join(frame.chunks)
        while self.held_bytes > HELD_BYTES:
            self._give_up(next(iter(self._frames)))
        return None

    def discard(self, epoch: int, low: int) -> None:
        """This frame has been authenticated: what came of it in part, if anything, is of no use."""
        if (epoch, low) in self._frames:
            self._forget((epoch, low))

    def _begin(self) -> int:
        """A frame begins; the wait for the fourth before it ends. Returns the ordinal of the new one."""
        ordinal = self._begun
        self._begun = ordinal + 1
        if self._frames:
            oldest = next(iter(self._frames))
            if self._frames[oldest].ordinal <= ordinal - FRAMES_IN_FLIGHT:
                self._give_up(oldest)
        return ordinal

    def _put(self, frame: _Frame, index: int, chunks: Sequence[bytes]) -> None:
        fresh = [place for place in range(index, index + len(chunks)) if not frame.chunks[place]]
        if len(fresh) == len(chunks):
            frame.chunks[index : index + len(chunks)] = chunks
            size = sum(map(len, chunks))
        else:
            self.repeated += len(chunks) - len(fresh)
            size = 0
            for place in fresh:
                frame.chunks[place] = chunks[place - index]
                size += len(chunks[place - index])
        frame.missing -= len(fresh)
        frame.held_bytes += size
        self.held_bytes += size
        if index < len(frame.chunks) - 1:
            frame.chunk_bytes = len(chunks[0])

    def _give_up(self, key: tuple[int, int]) -> None:
        frame = self._forget(key)
        self.incomplete += 1
        self._loss.abandoned(*key, len(frame.chunks) - frame.missing, frame.missing)

    def _forget(self, key: tuple[int, int]) -> _Frame:
        frame = self._frames.pop(key)
        self.held_bytes -= frame.held_bytes
        return frame


def _fits(frame: _Frame, index: int, count: int, chunks: Sequence[bytes]) -> bool:
    """Whether these chunks can belong to ``frame``, going by what came of it before."""
    if count != len(frame.chunks):
        return False
    reaches_end = index + len(chunks) == count
    first, last = len(chunks[0]), len(chunks[-1])
    if first != last and not reaches_end:
        return False  # only a frame's last chunk may be shorter
    if frame.chunk_bytes == 0:
        # Only the last chunk has come, if any; that must not be longer than the others.
        return index == count - 1 or len(frame.chunks[-1]) <= first
    if index == count - 1:
        return last <= frame.chunk_bytes
    return first == frame.chunk_bytes
