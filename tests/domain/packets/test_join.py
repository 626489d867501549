from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.join import MOST_SEGMENTS, with_datagrams_joined
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import LARGEST_PACKET_BYTES, SMALLEST_SEGMENT_BYTES, Parcel
from domain.packets.segment import segment
from tests.domain.packets.trains import EXTENDED, TCP_IPV4, UDP_IPV4, UDP_IPV6, Flow, some_payload

EACH_FLOW = pytest.mark.parametrize("flow", [UDP_IPV4, UDP_IPV6], ids=["udp4", "udp6"])


def datagrams(flow: Flow, sizes: list[int], step: int = 1) -> list[Parcel]:
    """Datagrams as the kernel of their own host hands them out; identifications grow by ``step``."""
    return [
        (
            replace(flow, identification=(flow.identification + step * index) % 2**16).partial(
                some_payload(size, seed=index)
            ),
            0,
            True,
        )
        for index, size in enumerate(sizes)
    ]


def finished(parcels: list[Parcel]) -> list[bytes]:
    return [packet for parcel in parcels for packet in segment(parcel)]


def counts(parcels: list[Parcel]) -> list[int]:
    """How many datagrams each of the joined ones holds."""
    return [len(segment(parcel)) for parcel in with_datagrams_joined(parcels)]


@EACH_FLOW
def test_datagrams_of_one_length_are_one_super_packet_and_come_out_as_they_went_in(flow: Flow) -> None:
    sent = datagrams(flow, [100] * 5 + [60])

    (train,) = with_datagrams_joined(sent)

    packet, segment_bytes, partial = train
    assert (segment_bytes, partial) == (100, True)
    layout_of_untrusted(packet, segment_bytes, partial)
    assert packet == flow.partial(b"".join(some_payload(100, seed=n) for n in range(5)) + some_payload(60, 5))
    assert finished([train]) == finished(sent)


@EACH_FLOW
def test_a_train_ends_with_a_shorter_one_and_where_linux_takes_no_more(flow: Flow) -> None:
    assert counts(datagrams(flow, [100, 100, 60, 100, 100, 120])) == [3, 2, 1]
    assert counts(datagrams(flow, [100] * (MOST_SEGMENTS + 2))) == [MOST_SEGMENTS, 2]
    sizes = counts(datagrams(flow, [1400] * 50))
    assert sizes == [46, 4]
    assert LARGEST_PACKET_BYTES >= 46 * 1400 + 48


def test_datagrams_too_small_for_a_segment_on_the_wire_stay_alone() -> None:
    assert counts(datagrams(UDP_IPV4, [SMALLEST_SEGMENT_BYTES - 1] * 3)) == [1, 1, 1]
    assert counts(datagrams(UDP_IPV4, [SMALLEST_SEGMENT_BYTES] * 3)) == [3]
    assert counts(datagrams(UDP_IPV4, [100, 0])) == [1, 1]


def test_only_neighbours_of_one_flow_are_joined() -> None:
    one, other = datagrams(UDP_IPV4, [100] * 4), datagrams(replace(UDP_IPV4, ports=(99, 4001)), [100] * 4)
    sent = [one[0], one[1], other[0], one[2], TCP_IPV4.train(some_payload(300), 100), one[3], other[1]]

    joined = list(with_datagrams_joined(sent))

    assert [len(segment(parcel)) for parcel in joined] == [2, 1, 1, 3, 1, 1]
    assert joined[1:] == [other[0], one[2], sent[4], one[3], other[1]]


@pytest.mark.parametrize(
    ("step", "dont_fragment", "together"), [(1, False, 1), (0, True, 1), (0, False, 3), (2, True, 3)]
)
def test_identifications_have_to_count_up_unless_they_mean_nothing(
    step: int, together: int, *, dont_fragment: bool
) -> None:
    sent = datagrams(replace(UDP_IPV4, dont_fragment=dont_fragment), [100] * 3, step)

    assert len(with_datagrams_joined(sent)) == together


def test_what_is_finished_or_not_plain_udp_is_left_alone() -> None:
    fragment = bytearray(UDP_IPV4.partial(some_payload(100)))
    fragment[6] |= 0x20
    sent: list[Parcel] = [
        *((UDP_IPV4.packet(some_payload(100)), 0, False) for _ in range(2)),
        *((TCP_IPV4.partial(some_payload(100)), 0, True) for _ in range(2)),
        *((bytes(fragment), 0, True) for _ in range(2)),
        *datagrams(EXTENDED["udp6, all"], [100, 100]),
        (b"", 0, True),
        (b"\x45", 0, True),
    ]

    assert with_datagrams_joined(sent) == sent
    assert with_datagrams_joined([]) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from([UDP_IPV4, UDP_IPV6, TCP_IPV4]),
            st.sampled_from([40, 48, 60, 1000]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_nothing_is_lost_changed_or_overtaken(wanted: list[tuple[Flow, int, bool]]) -> None:
    sent: list[Parcel] = []
    for number, (flow, size, partial) in enumerate(wanted):
        its = replace(flow, identification=number)
        payload = some_payload(size, number)
        sent.append((its.partial(payload), 0, True) if partial else (its.packet(payload), 0, False))

    assert finished(list(with_datagrams_joined(sent))) == finished(sent)


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_any_bytes_go_through(packets: list[bytes]) -> None:
    sent: list[Parcel] = [(packet, 0, True) for packet in packets]

    assert len(with_datagrams_joined(sent)) <= len(sent)
