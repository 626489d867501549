"""A session over a byte stream between two ends that have agreed on aggregated frames (aggregation 3).

The frames are those of ``stream.py``, up to 65535 bytes long. A plaintext is a service packet or records of
parcels, and its first byte tells which::

    FF          a service packet: FF 01, and so on
    any other   records; it is the high byte of the first one's length

That is unambiguous because no frame is filled beyond LARGEST_RECORDS_BYTES: no record in it is as long as
FF00 bytes.
"""

from collections.abc import Sequence
from typing import Final

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Primitives
from domain.packets.join import with_datagrams_joined
from domain.packets.parcel import Parcel
from domain.packets.records import RECORD_HEADER_BYTES, decode_untrusted, encode
from domain.session.framing import LONGEST_LENGTH
from domain.session.opened import SERVICE_MARK, OpenedParcels
from domain.session.packing import grouped
from domain.session.runs import ReceivedRun, SealedRun
from domain.session.stream import StreamSession

# The largest body of a frame: the bound for whoever takes such a stream apart (``framing.split_frames``).
LARGEST_AGGREGATED_BODY_BYTES: Final = LONGEST_LENGTH

# Ours: the longest record is one whose length does not begin with the mark of a service packet.
LARGEST_RECORDS_BYTES: Final = RECORD_HEADER_BYTES + (SERVICE_MARK << 8) - 1


class AggregatedStream(StreamSession):
    """One side of an established session over a stream, with super-packets. Satisfies ``ParcelCrypto``.

    ``mtu_bytes`` is that of our tunnel: no super-packet is accepted whose segments would be larger. The rest
    is as for StreamSession, whose ``seal`` and ``open`` are for service packets.
    """

    __slots__ = ("_mtu_bytes", "unsendable")

    def __init__(
        self, primitives: Primitives, role: Role, session_id: SessionId, keys: EpochKeys, *, mtu_bytes: int
    ) -> None:
        super().__init__(primitives, role, session_id, keys, largest_body_bytes=LARGEST_AGGREGATED_BODY_BYTES)
        self._mtu_bytes = mtu_bytes
        self.unsendable = 0  # parcels of our own that are malformed, or fit no frame

    def seal_parcels(self, parcels: Sequence[Parcel]) -> list[SealedRun]:
        """Seal ``parcels`` into as few frames as there can be, in order; each is a run of its own.

        All of them must be sent, in this order. Raises NonceExhaustedError, and seals nothing, if the epoch
        has too few counters left.
        """
        groups, malformed = grouped(with_datagrams_joined(parcels), LARGEST_RECORDS_BYTES)
        plaintexts = []
        self.unsendable += malformed
        for group, fits in groups:
            if fits:
                plaintexts.append(encode(group))
            else:
                self.unsendable += len(group)
        return [(frame, len(frame)) for frame in self.seal(plaintexts)]

    def open_parcels(self, runs: Sequence[ReceivedRun]) -> OpenedParcels:
        """Authenticate and decrypt bodies, each a run of its own, in the order of the stream.

        Stops early, and raises StreamBrokenError, as ``open`` does.
        """
        opened = self.open([body for body, _ in runs])
        parcels: list[Parcel] = []
        malformed = 0
        for plaintext in opened.packets:
            if plaintext[0] == SERVICE_MARK:  # and yet no service packet
                malformed += 1
                continue
            found, bad = decode_untrusted(plaintext, self._mtu_bytes)
            parcels += found
            malformed += bad
        return OpenedParcels(
            parcels=parcels,
            service=opened.service,
            authenticated=opened.authenticated,
            highest_epoch=opened.highest_epoch,
            newest=opened.newest,
            consumed=opened.consumed,
            dropped=opened.consumed - opened.authenticated,
            malformed=malformed,
        )

    def loss_report(self, now_s: float) -> bytes | None:  # noqa: ARG002 - datagram sessions need it
        """None: nothing gets lost on a stream."""
        return None
