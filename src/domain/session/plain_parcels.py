"""Parcels over a plain session: what speaks to a peer that knows nothing of aggregated frames.

Super-packets are cut into finished packets before they are sealed, and what is opened is joined into
super-packets again for the device, so that whoever moves parcels need not know what the peer can do.
"""

from collections.abc import Sequence

from domain.noise.keys import EpochKeys
from domain.noise.primitives import Buffer
from domain.packets.coalesce import coalesce
from domain.packets.parcel import Parcel
from domain.session.datagram import DatagramSession
from domain.session.identifiers import Epoch
from domain.session.opened import OpenedBatch, OpenedParcels
from domain.session.packing import finished
from domain.session.runs import ReceivedRun, SealedRun, cut, joined
from domain.session.stream import StreamSession


class PlainParcels:
    """``session`` for packets, seen as one for parcels; every byte on the wire is its own.

    Satisfies ``ParcelCrypto``. The runs it takes over a stream are bodies, one each.
    """

    __slots__ = ("_session", "unsendable")

    def __init__(self, session: DatagramSession | StreamSession) -> None:
        self._session = session
        self.unsendable = 0  # parcels of our own that are malformed

    @property
    def send_epoch(self) -> Epoch:
        """See SessionCrypto."""
        return self._session.send_epoch

    def install(self, epoch: Epoch, keys: EpochKeys) -> None:
        """See SessionCrypto."""
        self._session.install(epoch, keys)

    def activate(self, epoch: Epoch) -> None:
        """See SessionCrypto."""
        self._session.activate(epoch)

    def seal(self, plaintexts: Sequence[Buffer]) -> list[bytes]:
        """See SessionCrypto."""
        return self._session.seal(plaintexts)

    def open(self, frames: Sequence[Buffer]) -> OpenedBatch:
        """See SessionCrypto."""
        return self._session.open(frames)

    def seal_parcels(self, parcels: Sequence[Parcel]) -> list[SealedRun]:
        """One frame per finished packet, in order, and those of one length together in a run."""
        packets, malformed = finished(parcels)
        self.unsendable += malformed
        return joined(self._session.seal(packets))

    def open_parcels(self, runs: Sequence[ReceivedRun]) -> OpenedParcels:
        """Open all frames of the runs; over a stream as far as ``open`` goes."""
        frames: list[Buffer] = []
        origins: list[int] = []
        for place, run in enumerate(runs):
            pieces = cut(run)
            frames += pieces
            origins += [place] * len(pieces)
        opened = self._session.open(frames)
        return OpenedParcels(
            parcels=coalesce(opened.packets),
            service=opened.service,
            authenticated=opened.authenticated,
            highest_epoch=opened.highest_epoch,
            newest=origins[opened.newest] if opened.newest >= 0 else -1,
            consumed=len(runs) if opened.consumed == len(frames) else origins[opened.consumed],
            dropped=opened.consumed - opened.authenticated,
            malformed=0,
        )

    def loss_report(self, now_s: float) -> bytes | None:  # noqa: ARG002 - other sessions need it
        """None: a plain peer asks for no report."""
        return None
