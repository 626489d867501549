import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.parcel import SMALLEST_SEGMENT_BYTES, Parcel
from domain.packets.records import RECORD_HEADER_BYTES, encode
from domain.packets.segment import segment
from domain.session.packing import finished, grouped
from tests.domain.packets.trains import TCP_IPV4, UDP_IPV4, some_payload
from tests.domain.session.aggregating import numbered


def packets_of(parcels: list[Parcel]) -> list[bytes]:
    return [packet for parcel in parcels for packet in segment(parcel)]


def test_parcels_share_a_group_as_long_as_they_fit() -> None:
    parcels = [numbered(n, 94) for n in range(7)]

    groups, malformed = grouped(parcels, 300)

    assert groups == [(parcels[:3], True), (parcels[3:6], True), (parcels[6:], True)]
    assert malformed == 0
    assert grouped([], 300) == ([], 0)


def test_a_super_packet_that_fits_an_empty_frame_is_not_cut_to_fill_another() -> None:
    train = TCP_IPV4.train(some_payload(2000), 500)

    groups, _ = grouped([numbered(1), train], 2060)

    assert groups == [([numbered(1)], True), ([train], True)]


def test_a_super_packet_that_fits_no_frame_is_cut_and_its_end_shares_with_what_follows() -> None:
    train = TCP_IPV4.train(some_payload(2000), 500)

    groups, _ = grouped([train, numbered(1)], 1546)

    assert [[segment_bytes for _, segment_bytes, _ in parcels] for parcels, _ in groups] == [[500], [0, 0]]
    assert packets_of([parcel for parcels, _ in groups for parcel in parcels]) == packets_of(
        [train, numbered(1)]
    )


def test_what_cannot_be_cut_small_enough_stands_apart_in_its_place() -> None:
    train = TCP_IPV4.train(some_payload(1000), 500)

    groups, _ = grouped([numbered(1), train, numbered(2, 600), numbered(3)], 400)

    assert groups == [
        ([numbered(1)], True),
        ([*((packet, 0, False) for packet in segment(train)), numbered(2, 600)], False),
        ([numbered(3)], True),
    ]


def test_a_frame_may_be_filled_to_the_last_byte_and_no_further() -> None:
    assert grouped([numbered(1, 394)], 400)[0] == [([numbered(1, 394)], True)]
    assert grouped([numbered(1, 395)], 400)[0] == [([numbered(1, 395)], False)]


def test_segments_of_which_no_two_share_a_frame_are_finished_packets() -> None:
    train = TCP_IPV4.train(some_payload(750), 250)

    groups, _ = grouped([train], 400)

    assert groups == [([(packet, 0, False)], True) for packet in segment(train)]


@pytest.mark.parametrize("segment_bytes", [1, 7, SMALLEST_SEGMENT_BYTES - 1])
def test_segments_too_small_for_the_wire_are_finished_packets(segment_bytes: int) -> None:
    train = TCP_IPV4.train(some_payload(600), segment_bytes)

    groups, malformed = grouped([train], 65_000)

    assert groups == [([(packet, 0, False) for packet in segment(train)], True)]
    assert malformed == 0


def test_a_malformed_super_packet_is_left_out_and_counted() -> None:
    groups, malformed = grouped([numbered(1), (bytes(3000), 500, True), numbered(2)], 1000)

    assert (groups, malformed) == ([([numbered(1), numbered(2)], True)], 1)


def test_only_what_is_unfinished_is_finished() -> None:
    payload = some_payload(1200)
    plain = numbered(1)

    packets, malformed = finished(
        [plain, UDP_IPV4.train(payload, 500), (TCP_IPV4.partial(payload), 0, True), (bytes(30), 10, True)]
    )

    assert packets[0] is plain[0]
    assert packets[1:] == [*UDP_IPV4.packets(payload, 500), TCP_IPV4.packet(payload)]
    assert malformed == 1


parcels = st.integers(20, 700).map(lambda size: numbered(size, size)) | st.builds(
    lambda size, step: TCP_IPV4.train(some_payload(size), min(step, size - 1)),
    st.integers(100, 4000),
    st.integers(50, 900),
)


@given(st.lists(parcels, max_size=8), st.integers(100, 5000))
def test_nothing_is_lost_or_reordered_and_no_frame_overflows(batch: list[Parcel], room_bytes: int) -> None:
    groups, malformed = grouped(batch, room_bytes)

    assert malformed == 0
    assert packets_of([parcel for group, _ in groups for parcel in group]) == packets_of(batch)
    for group, fits in groups:
        assert group
        if fits:
            assert len(encode(group)) <= room_bytes
        else:
            assert all(RECORD_HEADER_BYTES + len(packet) > room_bytes for packet, _, _ in group)
