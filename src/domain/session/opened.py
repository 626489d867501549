"""What comes out of a batch of frames, whatever carried them."""

from typing import Final, NamedTuple

from domain.packets.parcel import Parcel
from domain.packets.service import SERVICE_PREFIX, type_of_untrusted
from domain.session.identifiers import Epoch

SERVICE_MARK: Final = SERVICE_PREFIX[0]  # no IP packet starts with it


class OpenedBatch(NamedTuple):
    """What a batch of frames turned out to hold; each list keeps the order of arrival."""

    packets: list[bytes]
    """Authenticated plaintexts that are no service packets: IP packets, if the peer is honest."""

    service: list[tuple[Epoch, bytes]]
    """Authenticated service packets, each with the epoch of the frame that carried it."""

    authenticated: int
    """How many frames passed, those with an empty plaintext included."""

    highest_epoch: Epoch | None
    """The highest epoch among the frames that passed; None if none did."""

    newest: int
    """Which of the frames is now the newest ever received, by (epoch, counter); -1 if none is.

    Only this one may tell where the peer is: a datagram that was overtaken must not move the address back.
    Always -1 on a stream, whose peer cannot move.
    """

    consumed: int
    """How many of the frames given were dealt with, the first ones; at least one if any was given.

    The caller handles what is in them and comes again with the rest. Datagrams are always dealt with
    together.
    """


class OpenedParcels(NamedTuple):
    """What runs of frames turned out to hold, for whoever takes super-packets; as OpenedBatch otherwise."""

    parcels: list[Parcel]
    """Finished packets and super-packets in the order of arrival; nobody has checked their sources."""

    service: list[tuple[Epoch, bytes]]
    """Authenticated service packets, but for the loss reports, which the session keeps to itself."""

    authenticated: int
    """How many frames passed, aggregated ones counted as one."""

    highest_epoch: Epoch | None
    """The highest epoch among the frames that passed; None if none did, or none is complete yet."""

    newest: int
    """Which of the runs brought the newest frame ever received of its kind; -1 if none did.

    The two kinds of datagrams have counters of their own. Where both travel, an ordinary datagram that was
    overtaken by frames alone may move the peer's address back, until the next one.
    """

    consumed: int
    """How many of the runs given were dealt with."""

    dropped: int
    """How many datagrams were refused: forged, damaged, replayed, or in contradiction to others."""

    malformed: int
    """How many records inside authentic frames held no parcel."""


def file_marked(
    plaintext: bytes, epoch: int, packets: list[bytes], service: list[tuple[Epoch, bytes]]
) -> int | None:
    """File a plaintext that starts with SERVICE_MARK under ``packets`` or ``service`` (specification 4.1).

    Returns the type of the service packet; None if it is none and left to the source check of the packets.
    """
    kind = type_of_untrusted(plaintext)
    if kind is None:
        packets.append(plaintext)
    else:
        service.append((Epoch(epoch), plaintext))
    return kind
