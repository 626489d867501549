"""Sealing and opening, as the data plane calls them: whole batches, whatever the framing."""

from collections.abc import Sequence
from typing import Protocol

from domain.noise.keys import EpochKeys
from domain.noise.primitives import Buffer
from domain.packets.parcel import Parcel
from domain.session.identifiers import Epoch
from domain.session.opened import OpenedBatch, OpenedParcels
from domain.session.runs import ReceivedRun, SealedRun


class SessionCrypto(Protocol):
    """The keys of one session: ``DatagramSession`` for UDP, ``StreamSession`` for TCP and WebSocket.

    Both stand in ``domain.session``. A *frame* is what the transport sends for one plaintext: a datagram, or
    a body with its length in front. ``open`` takes what the transport's ingress hands out: datagrams, or
    bodies without their lengths.
    """

    def seal(self, plaintexts: Sequence[Buffer]) -> list[bytes]:
        """One wire frame per plaintext, in order, in the current send epoch.

        On a stream all of them must be sent in this order, or the connection is of no further use. Raises
        domain.session.nonce.NonceExhaustedError when the epoch has no counter left, and on a stream
        ValueError when a plaintext does not fit into a frame; either seals nothing.
        """
        ...

    def open(self, frames: Sequence[Buffer]) -> OpenedBatch:
        """Authenticate and decrypt ``frames``, which are only read and not kept.

        May stop early: ``OpenedBatch.consumed`` says how many it dealt with. The caller carries out what the
        service packets among them ask for, and only then comes again with the rest, which may be sealed with
        the keys that they bring.

        Datagrams that fail are dropped and counted, never raised. On a stream the first frame that fails
        raises domain.session.stream.StreamBrokenError, and so does every later call: the connection has to
        end, and what the same call had opened before it is lost.
        """
        ...

    @property
    def send_epoch(self) -> Epoch:
        """The epoch that ``seal`` uses now."""
        ...

    def install(self, epoch: Epoch, keys: EpochKeys) -> None:
        """Accept frames of ``epoch`` from now on, and be ready to send in it.

        Raises domain.session.epochs.EpochRefusedError; then nothing has changed.
        """
        ...

    def activate(self, epoch: Epoch) -> None:
        """Seal in ``epoch`` from now on; it never moves backwards.

        Raises EpochRefusedError if ``epoch`` is a later one that was not installed.
        """
        ...


class ParcelCrypto(SessionCrypto, Protocol):
    """The keys of one session for a data plane that moves parcels, whatever the peer can do with them.

    ``AggregatedDatagrams`` and ``AggregatedStream`` for a peer that has agreed on aggregated frames,
    ``PlainParcels`` around a plain session for any other; all stand in ``domain.session``. Service packets go
    through ``seal``. What arrives goes through ``open_parcels``, service packets and all.

    A *run* is what one system call sends or receives, ``(frames, frame_bytes)``; see ``domain.session.runs``.
    """

    def seal_parcels(self, parcels: Sequence[Parcel]) -> list[SealedRun]:
        """Seal all ``parcels`` in order, in the current send epoch; nothing is kept back for a later call.

        Parcels of ours that are malformed are left out. On a stream all runs must be sent in this order. A
        run of datagrams may be longer than what the kernel segments at once: then it is to be sent in parts,
        cut at a multiple of ``frame_bytes``. Raises NonceExhaustedError and ValueError as ``seal`` does; then
        none of the runs may be sent.
        """
        ...

    def open_parcels(self, runs: Sequence[ReceivedRun]) -> OpenedParcels:
        """Authenticate and decrypt ``runs``, which are only read and not kept, as ``open`` does its frames.

        A run is datagrams of one sender, back to back; on a stream one body without its length.
        """
        ...

    def loss_report(self, now_s: float) -> bytes | None:
        """A service packet for the peer, if one is due: to be asked after each ``open_parcels``."""
        ...
