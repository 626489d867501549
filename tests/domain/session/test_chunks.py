"""From a sealed frame to datagrams and back to stretches of chunks, as they arrive."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.session.chunks import (
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    Others,
    Stretch,
    in_chunks,
    stretches_of_untrusted,
)
from domain.session.identifiers import Epoch, RouteId
from domain.session.runs import ReceivedRun, cut
from tests.domain.session.aggregating import one_by_one

ROUTE_ID = RouteId(b"of frame")
OTHER_ROUTE_ID = b"ordinary"


def found_in(runs: list[ReceivedRun]) -> tuple[list[Stretch], list[bytes]]:
    others = Others()
    stretches = list(stretches_of_untrusted(runs, ROUTE_ID, others))
    datagrams, places = others.take()
    assert len(places) == len(datagrams)
    assert others.take() == ([], [])
    return stretches, [bytes(datagram) for datagram in datagrams]


def datagrams_of(sealed: bytes, counter: int = 1, chunk_bytes: int = 4) -> list[bytes]:
    return [bytes(each) for each in cut(in_chunks(sealed, ROUTE_ID, counter, Epoch(7), chunk_bytes))]


@pytest.mark.parametrize(
    ("size", "count", "last"),
    [(1, 1, 1), (4, 1, 4), (5, 2, 1), (8, 2, 4), (4 * 46 - 1, 46, 3), (4 * 46, 46, 4)],
)
def test_all_chunks_but_the_last_have_the_same_length(size: int, count: int, last: int) -> None:
    sealed = bytes(range(size))

    datagrams = datagrams_of(sealed, counter=9)

    assert [FRAME_HEADER.unpack_from(datagram) for datagram in datagrams] == [
        (ROUTE_ID, 9, index, count, 7) for index in range(count)
    ]
    assert [len(datagram) for datagram in datagrams] == [24] * (count - 1) + [FRAME_HEADER_BYTES + last]
    assert b"".join(datagram[FRAME_HEADER_BYTES:] for datagram in datagrams) == sealed


def test_a_frame_in_one_run_is_one_stretch() -> None:
    run = in_chunks(b"aaaabbbbc", ROUTE_ID, 3, Epoch(7), 4)

    assert found_in([run]) == ([(7, 3, 0, 3, (b"aaaa", b"bbbb", b"c"), 0)], [])


def test_datagrams_that_come_one_by_one_in_order_are_one_stretch() -> None:
    datagrams = datagrams_of(b"aaaabbbbc", counter=3)

    assert found_in(one_by_one(datagrams)) == ([(7, 3, 0, 3, [b"aaaa", b"bbbb", b"c"], 2)], [])


def test_a_stretch_ends_where_the_order_does() -> None:
    first, second = datagrams_of(b"aaaabbbbccccd", counter=1), datagrams_of(b"eeeef", counter=2)

    stretches, _ = found_in(one_by_one([*first[:2], second[0], *first[2:], second[1], first[1], first[0]]))

    assert stretches == [
        (7, 1, 0, 4, [b"aaaa", b"bbbb"], 1),
        (7, 2, 0, 2, [b"eeee"], 2),
        (7, 1, 2, 4, [b"cccc", b"d"], 4),
        (7, 2, 1, 2, [b"f"], 5),
        (7, 1, 1, 4, [b"bbbb"], 6),
        (7, 1, 0, 4, [b"aaaa"], 7),
    ]


@pytest.mark.parametrize(
    ("counter", "index", "count", "epoch", "chunk"),
    [
        (2, 1, 4, 7, b"XXXX"),
        (1, 2, 4, 7, b"XXXX"),
        (1, 1, 3, 7, b"XXXX"),
        (1, 1, 4, 8, b"XXXX"),
        (1, 1, 4, 7, b"XXX"),
        (1, 1, 4, 7, b"XXXXX"),
    ],
)
def test_what_differs_in_anything_begins_another_stretch(
    counter: int, index: int, count: int, epoch: int, chunk: bytes
) -> None:
    first, second, third, _ = datagrams_of(b"aaaabbbbccccdddd")
    other = FRAME_HEADER.pack(ROUTE_ID, counter, index, count, epoch) + chunk

    stretches, _ = found_in(one_by_one([first, other, second, third]))

    assert [list(stretch[4]) for stretch in stretches] == [[b"aaaa"], [chunk], [b"bbbb", b"cccc"]]
    assert stretches[1][:4] == (epoch, counter, index, count)


def test_a_run_with_another_frame_s_chunk_in_the_middle_is_not_taken_for_one_frame() -> None:
    first, second = datagrams_of(b"aaaabbbbcccc", counter=1), datagrams_of(b"AAAABBBBCCCC", counter=2)

    stretches, _ = found_in([(first[0] + second[1] + first[2], 24)])

    assert [(stretch[1], list(stretch[4])) for stretch in stretches] == [
        (1, [b"aaaa"]),
        (2, [b"BBBB"]),
        (1, [b"cccc"]),
    ]


def test_a_run_is_one_stretch_per_frame_that_it_holds() -> None:
    first, second = datagrams_of(b"aaaabbbb", counter=1), datagrams_of(b"ccccddddeeeef", counter=2)

    stretches, _ = found_in([(b"".join([first[1], *second[:3]]), 24), (second[3], 21)])

    assert stretches == [
        (7, 1, 1, 2, (b"bbbb",), 0),
        (7, 2, 0, 4, (b"cccc", b"dddd", b"eeee"), 0),
        (7, 2, 3, 4, [b"f"], 1),
    ]


def test_a_frame_that_has_ended_comes_before_the_ordinary_datagram_behind_it() -> None:
    others = Others()
    ordinary = OTHER_ROUTE_ID + bytes(40)
    runs = one_by_one([*datagrams_of(b"aaaab"), ordinary, *datagrams_of(b"c", counter=2)])

    seen = [(stretch[1], len(others.datagrams)) for stretch in stretches_of_untrusted(runs, ROUTE_ID, others)]

    assert seen == [(1, 0), (2, 1)]


def test_other_datagrams_are_told_apart_wherever_they_stand() -> None:
    chunk = datagrams_of(b"a" * 30, chunk_bytes=30)[0]
    other = OTHER_ROUTE_ID + bytes(len(chunk) - 8)
    runs = [(chunk + other + chunk, 50), (other + chunk, 50), (other + b"short", 50), (chunk + b"short", 50)]

    stretches, others = found_in([*runs, (b"", 1), (ROUTE_ID + bytes(12), 20), (ROUTE_ID * 3, 8)])

    assert [(stretch[4][0], stretch[5]) for stretch in stretches] == [(b"a" * 30, n) for n in (0, 0, 1, 3)]
    assert others == [other, other, other, b"short", b"short", b"", ROUTE_ID + bytes(12), *[ROUTE_ID] * 3]


@pytest.mark.parametrize(
    ("index", "count"), [(2, 2), (5, 3), (0, 0), (0, 47), (46, 47), (255, 255), (3, 200)]
)
@pytest.mark.parametrize("joined", [True, False])
def test_a_lying_header_is_handed_on_alone(index: int, count: int, joined: bool) -> None:
    honest = datagrams_of(b"aaaabbbbcccc")
    lying = FRAME_HEADER.pack(ROUTE_ID, 1, index, count, 7) + b"XXXX"
    datagrams = [*honest[:2], lying, honest[2]]

    stretches, _ = found_in([(b"".join(datagrams), 24)] if joined else one_by_one(datagrams))

    assert (7, 1, index, count, [b"XXXX"]) in [(*stretch[:4], list(stretch[4])) for stretch in stretches]
    assert [chunk for stretch in stretches for chunk in stretch[4]] == [b"aaaa", b"bbbb", b"XXXX", b"cccc"]


headers = st.tuples(
    st.sampled_from([ROUTE_ID, OTHER_ROUTE_ID]),
    st.integers(0, 2),
    st.integers(0, 4) | st.integers(0, 255),
    st.integers(0, 4) | st.integers(0, 255),
    st.integers(0, 1),
).map(lambda fields: FRAME_HEADER.pack(*fields))


@given(st.lists(st.tuples(headers, st.binary(max_size=3))), st.integers(1, 23), st.randoms())
def test_no_datagram_is_lost_or_made_up(
    datagrams: list[tuple[bytes, bytes]], size: int, choice: random.Random
) -> None:
    runs: list[ReceivedRun] = []
    for header, content in datagrams:
        datagram = header + content
        if runs and len(datagram) <= size and choice.random() < 0.7:
            runs[-1] = (bytes(runs[-1][0]) + datagram, len(datagram) if len(runs[-1][0]) < size else size)
        else:
            runs.append((datagram, size))

    stretches, others = found_in(runs)

    given_in = [bytes(frame) for run in runs for frame in cut(run)]
    made_of = others + [
        FRAME_HEADER.pack(ROUTE_ID, counter, index + offset, count, epoch) + chunk
        for epoch, counter, index, count, chunks, _ in stretches
        for offset, chunk in enumerate(chunks)
    ]
    assert sorted(made_of) == sorted(given_in)
    for _, _, index, count, chunks, _ in stretches:
        assert len(chunks) == 1 or index + len(chunks) <= count
        assert all(len(chunk) == len(chunks[0]) for chunk in chunks[:-1])
        assert 0 < len(chunks[-1]) <= len(chunks[0])
