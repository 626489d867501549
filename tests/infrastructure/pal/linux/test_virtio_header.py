"""The header before a packet, in both directions; the kernel's own opinion is asked in tests/netns."""

import struct

import pytest

from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import CWR, Parcel
from domain.packets.segment import segment
from infrastructure.pal.linux.virtio_header import HEADER_BYTES, PLAIN_HEADER, header_of, parcel_of
from tests.netns.packets import tcp_train, udp_packet, udp_train

TCP_TRAIN = tcp_train("10.88.0.2", "10.88.0.1", bytes(2500), 1000)
TCP6_TRAIN = tcp_train("fd00::2", "fd00::1", bytes(2500), 1000)
UDP_TRAIN = udp_train("10.88.0.2", "10.88.0.1", bytes(2500), 1000)
UDP6_TRAIN = udp_train("fd00::2", "fd00::1", bytes(2500), 1000)
FINISHED = udp_packet("10.88.0.2", "10.88.0.1", b"payload")
UNFINISHED = udp_train("10.88.0.2", "10.88.0.1", b"payload", 0)[0]
UNFINISHED6 = udp_train("fd00::2", "fd00::1", b"payload", 0)[0]


def header(parcel: Parcel) -> bytes:
    return header_of(parcel, layout_of_untrusted(*parcel))


def with_cwr(train: Parcel) -> Parcel:
    packet, segment_bytes, partial = train
    return packet[:33] + bytes([packet[33] | CWR]) + packet[34:], segment_bytes, partial


@pytest.mark.parametrize(
    ("parcel", "fields"),
    [
        (TCP_TRAIN, (1, 1, 40, 1000, 20, 16)),
        (with_cwr(TCP_TRAIN), (1, 0x81, 40, 1000, 20, 16)),
        (TCP6_TRAIN, (1, 4, 60, 1000, 40, 16)),
        (UDP_TRAIN, (1, 5, 28, 1000, 20, 6)),
        (UDP6_TRAIN, (1, 5, 48, 1000, 40, 6)),
        ((UNFINISHED, 0, True), (1, 0, 0, 0, 20, 6)),
    ],
)
def test_the_header_says_where_things_are(parcel: Parcel, fields: tuple[int, ...]) -> None:
    assert struct.unpack("=BBHHHH", header(parcel)) == fields


@pytest.mark.parametrize(
    "parcel",
    [
        TCP_TRAIN,
        with_cwr(TCP_TRAIN),
        TCP6_TRAIN,
        UDP_TRAIN,
        UDP6_TRAIN,
        (UNFINISHED, 0, True),
        (UNFINISHED6, 0, True),
    ],
)
def test_what_is_written_with_a_header_is_read_as_the_same_parcel(parcel: Parcel) -> None:
    assert parcel_of(header(parcel) + parcel[0]) == parcel


@pytest.mark.parametrize("flags", [0, 2])  # the kernel may say that it has verified the checksum
def test_a_finished_packet_has_nothing_left_to_do(flags: int) -> None:
    assert parcel_of(bytes([flags]) + PLAIN_HEADER[1:] + FINISHED) == (FINISHED, 0, False)


@pytest.mark.parametrize("finished", [FINISHED, udp_packet("fd00::2", "fd00::1", b"payload")])
def test_a_checksum_in_an_unusual_place_is_completed_at_once(finished: bytes) -> None:
    """Here in a tunnel (IP in IP, protocol 4 or 41), whose header comes first."""
    inner = UNFINISHED if finished is FINISHED else UNFINISHED6
    start = len(inner) - 8 - len(b"payload")
    for outer in (
        struct.pack("!BxHHHBBH8x", 0x45, 20 + len(inner), 1, 0, 64, 4, 0),
        struct.pack("!IHBB32x", 6 << 28, len(inner), 41, 64),
    ):
        told = struct.pack("=BBHHHH", 1, 0, 0, 0, len(outer) + start, 6)
        assert parcel_of(told + outer + inner) == (outer + finished, 0, False)


def test_ip_options_move_the_checksum_and_it_is_completed_at_once() -> None:
    packet = bytes([0x46]) + UNFINISHED[1:20] + bytes(4) + UNFINISHED[20:]
    told = struct.pack("=BBHHHH", 1, 0, 0, 0, 24, 6)
    completed = FINISHED[26:28]
    assert parcel_of(told + packet) == (packet[:30] + completed + packet[32:], 0, False)


def test_what_is_completed_here_is_what_segmentation_completes() -> None:
    assert segment((UNFINISHED, 0, True)) == [FINISHED]
    assert len(PLAIN_HEADER) == HEADER_BYTES == 10
