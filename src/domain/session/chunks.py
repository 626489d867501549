"""The datagrams of an aggregated frame: cutting it, and finding what belongs together (aggregation 3).

::

    bytes    field
    0..7     route id   bytes 8..15 of the session id: frames have one of their own
    8..15    counter    u64 BE, of the frame, counter low of the nonce
    16       index      of this chunk in the frame
    17       count      of chunks in the frame, 1 to 46
    18..19   epoch      u16 BE
    20..     chunk      of ciphertext ‖ tag; all but the last have the same length

Datagrams arrive in the order and in the company that the path and the kernel see fit. Most often that is a
whole frame in one run, which a few calls take apart; what comes one by one is put together as it comes.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, TypeAlias

from domain.noise.primitives import Buffer
from domain.session.identifiers import ROUTE_ID_BYTES, Epoch, RouteId
from domain.session.runs import ReceivedRun, SealedRun, cut

# The protocol's (aggregation 3).
MOST_CHUNKS: Final = 46
FRAME_HEADER: Final = Struct(f">{ROUTE_ID_BYTES}sQBBH")  # route id, counter, index, count, epoch
FRAME_HEADER_BYTES: Final = FRAME_HEADER.size

_NO_HEADER: Final = (b"", 0, 0, 0, 0)  # of a datagram too short for one and a chunk

# The same header in the two parts in which the datagrams of a frame agree and differ.
_COMMON: Final = Struct(f">{ROUTE_ID_BYTES}sQ")
_OWN: Final = Struct(">BBH")

# Chunks that follow one another in a frame, all of one length but perhaps the frame's last: epoch, counter,
# index of the first, count, chunks, and the place of the run that the last one is from. Nothing of it is true
# before the frame has been authenticated.
Stretch: TypeAlias = tuple[int, int, int, int, Sequence[bytes], int]


class Others:
    """Datagrams with another route id, or too short for a chunk, and the places of the runs they are from."""

    __slots__ = ("datagrams", "places")

    def __init__(self) -> None:
        self.datagrams: list[Buffer] = []
        self.places: list[int] = []

    def add(self, datagram: Buffer, place: int) -> None:
        """Keep ``datagram``, a view into the receive buffer."""
        self.datagrams.append(datagram)
        self.places.append(place)

    def take(self) -> tuple[list[Buffer], list[int]]:
        """The datagrams and the places of their runs, which are kept no longer."""
        taken = self.datagrams, self.places
        self.datagrams, self.places = [], []
        return taken


@lru_cache(maxsize=128)
def _own_headers(count: int, epoch: int) -> tuple[bytes, ...]:
    """Index, count and epoch of each datagram of a frame."""
    return tuple([_OWN.pack(index, count, epoch) for index in range(count)])


@lru_cache(maxsize=128)
def _chunks(size: int, count: int) -> Struct:
    """Cuts ``count`` chunks of ``size`` bytes out of a sealed frame; one call costs less than the slices."""
    return Struct(f"{size}s" * count)


@lru_cache(maxsize=128)
def _datagrams(size: int, count: int) -> Struct:
    """Takes ``count`` datagrams of ``size`` bytes apart: common header, own header, chunk, and so on."""
    return Struct(f"{_COMMON.size}s{_OWN.size}s{size - FRAME_HEADER_BYTES}s" * count)


def in_chunks(sealed: bytes, route_id: RouteId, counter: int, epoch: Epoch, chunk_bytes: int) -> SealedRun:
    """The datagrams of a frame as one run; ``sealed`` has at most MOST_CHUNKS times ``chunk_bytes``."""
    common = _COMMON.pack(route_id, counter)
    size = len(sealed)
    if size <= chunk_bytes:
        datagram = common + _OWN.pack(0, 1, epoch) + sealed
        return datagram, len(datagram)
    full, rest = divmod(size, chunk_bytes)
    own_headers = _own_headers(full + (rest > 0), epoch)
    parts = [common] * (3 * len(own_headers))
    parts[1::3] = own_headers
    chunks = _chunks(chunk_bytes, full).unpack_from(sealed)
    parts[2::3] = (*chunks, sealed[-rest:]) if rest else chunks
    return b"".join(parts), FRAME_HEADER_BYTES + chunk_bytes


def stretches_of_untrusted(
    runs: Sequence[ReceivedRun], route_id: RouteId, others: Others
) -> Iterator[Stretch]:
    """The chunks in ``runs``, as many as belong together at a time; all other datagrams go to ``others``.

    A stretch is handed out before any datagram behind it goes to ``others``, if it ends its frame.
    """
    unpack_header = FRAME_HEADER.unpack_from
    chunks: list[bytes] = []  # of the stretch that may go on; and where it is
    at_epoch = at_counter = first_index = next_index = at_count = at_size = at_place = -1
    for place, run in enumerate(runs):
        datagrams, size = run
        if len(datagrams) > size and datagrams[:ROUTE_ID_BYTES] == route_id:
            if chunks:
                yield at_epoch, at_counter, first_index, at_count, chunks, at_place
                chunks = []
            yield from _stretches_of_run(run, place, route_id, others)
            continue
        for datagram in (datagrams,) if len(datagrams) <= size else cut(run):
            size = len(datagram)
            its_route_id, counter, index, count, epoch = (
                unpack_header(datagram) if size > FRAME_HEADER_BYTES else _NO_HEADER
            )
            if its_route_id != route_id:
                others.add(datagram, place)
                continue
            if (
                chunks
                and counter == at_counter
                and index == next_index < count == at_count
                and epoch == at_epoch
                and (size == at_size or (size < at_size and index == count - 1))
            ):
                chunks.append(bytes(datagram[FRAME_HEADER_BYTES:]))
            else:
                if chunks:
                    yield at_epoch, at_counter, first_index, at_count, chunks, at_place
                chunks = [bytes(datagram[FRAME_HEADER_BYTES:])]
                at_epoch, at_counter, first_index, at_count, at_size = epoch, counter, index, count, size
            next_index = index + 1
            at_place = place
            if next_index == count:
                yield at_epoch, at_counter, first_index, at_count, chunks, place
                chunks = []
    if chunks:
        yield at_epoch, at_counter, first_index, at_count, chunks, at_place


def _stretches_of_run(run: ReceivedRun, place: int, route_id: RouteId, others: Others) -> Iterator[Stretch]:
    """The same for one run of several datagrams that begins with a frame's.

    A kernel joins whatever one sender sent in a row, so that others may follow.
    """
    datagrams, size = run
    if size <= FRAME_HEADER_BYTES:
        for datagram in cut(run):
            others.add(datagram, place)
        return
    full, rest = divmod(len(datagrams), size)
    fields: tuple[bytes, ...] = _datagrams(size, full).unpack_from(datagrams)
    if rest > FRAME_HEADER_BYTES:
        fields += _datagrams(rest, 1).unpack_from(datagrams, full * size)
    elif rest:
        others.add(datagrams[full * size :], place)
    common, own, chunks = fields[0::3], fields[1::3], fields[2::3]
    start, total = 0, len(chunks)
    while start < total:
        its_route_id, counter = _COMMON.unpack(common[start])
        if its_route_id != route_id:
            others.add(datagrams[start * size : (start + 1) * size], place)
            start += 1
            continue
        index, count, epoch = _OWN.unpack(own[start])
        stop = start + 1
        if index < count <= MOST_CHUNKS:
            # What a sender makes: the rest of the frame follows, as far as the run goes.
            end = min(start + count - index, total)
            expected = _own_headers(count, epoch)[index : index + end - start]
            if own[start:end] == expected and common[start:end].count(common[start]) == end - start:
                stop = end
        yield epoch, counter, index, count, chunks[start:stop], place
        start = stop
