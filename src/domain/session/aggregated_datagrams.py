"""A session over datagrams between two ends that have agreed on aggregated frames (aggregation 3, 4).

The plaintext of a frame is records of parcels (``domain.packets.records``), so that one AEAD call seals a
whole super-packet. The sealed frame is cut into chunks, one per datagram (``chunks.py``). Nonce, keys and
additional data are those of an ordinary datagram with counter high 1, the frame's counter and the epoch.

Laws

- Ordinary datagrams keep to counter high 0 in such a session, in both directions. Neither end can come to
  the nonces of the other kind by counting, and a frame that somebody has put together and given the other
  route id is not taken for an ordinary datagram, though its tag would fit.
- A chunk is believed in nothing until its frame has been authenticated: the counter has to be fresh before
  anything is kept of it, and is used up only afterwards.
- No datagram is larger than one in which the same traffic would travel without frames. What the other end's
  MTU is, and with it what the path takes, shows in nothing but the segments of the flows that end there.
- A packet that fits no frame of the limit's size travels as an ordinary datagram. Service packets always do.
- Where frames of more than one datagram are not worthwhile, bulk travels as in a plain session. Small packets
  by themselves still share datagrams.
"""

from collections.abc import Sequence
from contextlib import suppress
from operator import itemgetter
from typing import ClassVar, Final

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import TAG_BYTES, Primitives
from domain.packets.coalesce import coalesce
from domain.packets.join import with_datagrams_joined
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import LARGEST_PACKET_BYTES, MalformedParcelError, Parcel
from domain.packets.records import RECORD_HEADER_BYTES, decode_untrusted, encode
from domain.packets.service import (
    MalformedServicePacketError,
    ServicePacketType,
    loss_of_untrusted,
    type_of_untrusted,
)
from domain.session.chunks import (
    FRAME_HEADER_BYTES,
    MOST_CHUNKS,
    Others,
    Stretch,
    in_chunks,
    stretches_of_untrusted,
)
from domain.session.datagram import DatagramSession
from domain.session.identifiers import Epoch, RouteId, aggregated_route_id_of
from domain.session.loss import FrameLimit, LossCounter
from domain.session.nonce import (
    AGGREGATED_HIGH,
    COUNTER_LOW_MASK,
    DATAGRAM_OVERHEAD_BYTES,
    NONCE,
    ORDINARY_HIGH,
    SendCounter,
)
from domain.session.opened import OpenedParcels
from domain.session.packing import finished, grouped
from domain.session.reassembly import Reassembly
from domain.session.run_trial import RunTrial
from domain.session.runs import ReceivedRun, SealedRun, cut, joined, one_by_one

# Ours: a frame has room for the largest record and no more, so that four of them in part are within the bound
# of the reassembly.
_LARGEST_SEALED_BYTES: Final = RECORD_HEADER_BYTES + LARGEST_PACKET_BYTES + TAG_BYTES

# Ours: a plain datagram with a packet of this length passes wherever IPv6 does, whose smallest MTU is 1280.
_SAFE_PACKET_BYTES: Final = 1280 - 40 - 8 - DATAGRAM_OVERHEAD_BYTES


class _Arrivals:
    """What has come out of the runs so far, and the datagrams that wait to be opened together."""

    __slots__ = ("authenticated", "highest_epoch", "malformed", "newest", "others", "parcels", "service")

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.service: list[tuple[Epoch, bytes]] = []
        self.authenticated = 0
        self.highest_epoch = -1
        self.newest = -1
        self.malformed = 0
        self.others = Others()


class AggregatedDatagrams(DatagramSession):
    """One side of an established session over datagrams, with super-packets. Satisfies ``ParcelCrypto``.

    ``mtu_bytes`` is that of our tunnel: no datagram is larger than an ordinary one with a packet of this
    size. No super-packet is accepted whose segments would be larger than ``largest_segment_bytes``: the other
    end's MTU, if that may be another one. ``trial`` finds out whether runs get lost.
    The rest is as for DatagramSession, whose ``seal`` and ``open`` are for ordinary datagrams.
    """

    LAST_HIGH: ClassVar[int] = ORDINARY_HIGH

    __slots__ = (
        "_chunk_bytes",
        "_frame_counter",
        "_largest_segment_bytes",
        "_loss",
        "_newest_frame",
        "_reassembly",
        "_trial",
        "aggregated_route_id",
        "limit",
        "unsendable",
    )

    def __init__(
        self,
        primitives: Primitives,
        role: Role,
        session_id: SessionId,
        keys: EpochKeys,
        *,
        mtu_bytes: int,
        largest_segment_bytes: int | None = None,
        trial: RunTrial | None = None,
    ) -> None:
        super().__init__(primitives, role, session_id, keys)
        self.aggregated_route_id: RouteId = aggregated_route_id_of(session_id)
        self.limit = FrameLimit()
        self._trial = trial
        self.unsendable = 0  # parcels of our own that are malformed
        self._largest_segment_bytes = largest_segment_bytes or mtu_bytes
        self._chunk_bytes = mtu_bytes + DATAGRAM_OVERHEAD_BYTES - FRAME_HEADER_BYTES
        self._newest_frame = (0, -1)  # epoch, counter
        self._loss = LossCounter()
        self._reassembly = Reassembly(self._loss)

    @property
    def incomplete(self) -> int:
        """How many frames never came whole."""
        return self._reassembly.incomplete

    @property
    def held_bytes(self) -> int:
        """How many bytes of frames wait for the rest of them."""
        return self._reassembly.held_bytes

    def _send_in(self, epoch: Epoch, keys: EpochKeys) -> None:
        super()._send_in(epoch, keys)
        self._frame_counter = SendCounter(epoch, end=COUNTER_LOW_MASK)

    def seal_parcels(self, parcels: Sequence[Parcel]) -> list[SealedRun]:
        """Seal ``parcels`` in order: into as few frames as the limit allows, each a run of datagrams.

        When runs get lost every datagram is one of its own. Raises
        NonceExhaustedError if the epoch has too few counters left; then none of the parcels is sealed, or the
        first ones were for nothing.
        """
        if self.limit.worthwhile == 1 and any(segment_bytes for _, segment_bytes, _ in parcels):
            runs = self._ordinary(parcels)
        else:
            runs = self._framed(parcels)
        if self._trial is not None and not self._trial.in_runs:
            return one_by_one([frame for run in runs for frame in cut(run)])
        return runs

    def _ordinary(self, parcels: Sequence[Parcel]) -> list[SealedRun]:
        """As a plain session would."""
        packets, malformed = finished(parcels)
        self.unsendable += malformed
        return joined(self.seal(packets))

    def _framed(self, parcels: Sequence[Parcel]) -> list[SealedRun]:
        """Frames as long as they may be, and between them runs of ordinary datagrams for what fits none."""
        parcels = with_datagrams_joined(parcels)
        chunk_bytes = self._chunk_bytes_for(parcels)
        room_bytes = min(self.limit.worthwhile * chunk_bytes, _LARGEST_SEALED_BYTES) - TAG_BYTES
        groups, malformed = grouped(parcels, room_bytes)
        self.unsendable += malformed
        counter = self._frame_counter.reserve(sum([group.fits for group in groups]))
        runs: list[SealedRun] = []
        for group, fits in groups:
            if fits:
                counter += 1
                runs.append(self._sealed_frame(encode(group), counter, chunk_bytes))
            else:
                runs += self._ordinary(group)
        return runs

    def _chunk_bytes_for(self, parcels: Sequence[Parcel]) -> int:
        """So that datagrams are as long as plain ones with the smallest segments or the largest packet."""
        trains = [parcel for parcel in parcels if parcel[1]]
        packet_bytes = 0
        if trains:
            smallest = min(trains, key=itemgetter(1))
            with suppress(MalformedParcelError):  # it will be left out
                packet_bytes = layout_of_untrusted(*smallest).header_bytes + smallest[1]
        elif parcels:
            packet_bytes = max([len(packet) for packet, _, _ in parcels])
        packet_bytes = max(packet_bytes, _SAFE_PACKET_BYTES)
        return min(packet_bytes + DATAGRAM_OVERHEAD_BYTES - FRAME_HEADER_BYTES, self._chunk_bytes)

    def _sealed_frame(self, plaintext: bytes, counter: int, chunk_bytes: int) -> SealedRun:
        epoch = self._send_epoch
        nonce = NONCE.pack(counter, AGGREGATED_HIGH, epoch)
        sealed = self._sealing.encrypt(nonce, plaintext, self._seal_prefix + nonce)
        return in_chunks(sealed, self.aggregated_route_id, counter, epoch, chunk_bytes)

    def open_parcels(self, runs: Sequence[ReceivedRun]) -> OpenedParcels:
        """Authenticate and decrypt what the runs bring, ordinary datagrams and frames, in any mixture.

        The buffers are only read, and not kept. Failures are dropped and counted. All runs are consumed.
        """
        refused_before = self.drops.refused + self._reassembly.refused
        arrivals = _Arrivals()
        for stretch in stretches_of_untrusted(runs, self.aggregated_route_id, arrivals.others):
            self._take(stretch, arrivals)
        if arrivals.others.datagrams:
            self._open_ordinary(arrivals)
        return OpenedParcels(
            parcels=arrivals.parcels,
            service=arrivals.service,
            authenticated=arrivals.authenticated,
            highest_epoch=Epoch(arrivals.highest_epoch) if arrivals.authenticated else None,
            newest=arrivals.newest,
            consumed=len(runs),
            dropped=self.drops.refused + self._reassembly.refused - refused_before,
            malformed=arrivals.malformed,
        )

    def loss_report(self, now_s: float) -> bytes | None:
        """The service packet that tells the other end what was lost, once a second while anything comes."""
        return self._loss.report(now_s)

    def _take(self, stretch: Stretch, arrivals: _Arrivals) -> None:
        """Consecutive chunks of one frame; opens the frame if they are the last that were missing."""
        epoch, counter, index, count, chunks, place = stretch
        if not index + len(chunks) <= count <= MOST_CHUNKS:
            self.drops.malformed += len(chunks)
            return
        held = self._ring.newest if epoch == self._ring.newest.epoch else self._ring.find(epoch)
        if held is None:
            self.drops.unknown_epoch += len(chunks)
            return
        if not held.frames.is_fresh(AGGREGATED_HIGH, counter):
            self.drops.replayed += len(chunks)
            return
        sealed = self._reassembly.add(epoch, counter, index, count, chunks)
        if sealed is None:
            return
        nonce = NONCE.pack(counter, AGGREGATED_HIGH, epoch)
        try:
            plaintext = held.opening.decrypt(nonce, sealed, self._receive_prefix + nonce)
        except self._primitives.authentication_failure:
            self.drops.unauthenticated += count
            if len(chunks) < count:  # one of them may have been forged, and the real one is still to come
                self._loss.abandoned(epoch, counter, count, 0)
            return
        held.frames.accept(AGGREGATED_HIGH, counter)
        self._reassembly.discard(epoch, counter)
        self._loss.arrived(epoch, counter, count)
        if arrivals.others.datagrams:
            self._open_ordinary(arrivals)  # they came before
        arrivals.authenticated += 1
        arrivals.highest_epoch = max(arrivals.highest_epoch, epoch)
        if (epoch, counter) > self._newest_frame:
            self._newest_frame = (epoch, counter)
            arrivals.newest = place
        parcels, malformed = decode_untrusted(plaintext, self._largest_segment_bytes)
        arrivals.parcels += parcels
        arrivals.malformed += malformed

    def _open_ordinary(self, arrivals: _Arrivals) -> None:
        """Open the ordinary datagrams that wait, all at once, and refuse what is none."""
        datagrams, places = arrivals.others.take()
        opened = self.open(datagrams)
        self._loss.ordinary(self._ring.newest)
        arrivals.parcels += coalesce(opened.packets)
        for epoch, plaintext in opened.service:
            if type_of_untrusted(plaintext) == ServicePacketType.LOSS_REPORT:
                self._read_report(plaintext)
            else:
                arrivals.service.append((epoch, plaintext))
        if opened.highest_epoch is not None:
            arrivals.authenticated += opened.authenticated
            arrivals.highest_epoch = max(arrivals.highest_epoch, opened.highest_epoch)
        if opened.newest >= 0:
            arrivals.newest = places[opened.newest]

    def _read_report(self, plaintext: bytes) -> None:
        try:
            received, missing = loss_of_untrusted(plaintext)
        except MalformedServicePacketError:
            self.drops.malformed += 1
            return
        if self._trial is not None:
            self._trial.report(received, missing, frames_were_runs=self.limit.worthwhile > 1)
        self.limit.report(received, missing)
