"""Transcripts: both ends of a session with aggregated frames, and what lies between them misbehaving."""

import random

import pytest

from application.network.connection.crypto import ParcelCrypto
from domain.noise.keys import Role
from domain.noise.primitives import Aead, Buffer
from domain.packets.parcel import Parcel
from domain.packets.records import RECORD_HEADER, RECORD_HEADER_BYTES
from domain.packets.segment import segment
from domain.packets.service import PING, PONG, loss_of_untrusted, loss_report
from domain.session.aggregated_datagrams import AggregatedDatagrams
from domain.session.chunks import FRAME_HEADER, FRAME_HEADER_BYTES
from domain.session.datagram import DatagramSession
from domain.session.identifiers import Epoch
from domain.session.loss import MOST_DATAGRAMS, REORDERING
from domain.session.nonce import (
    AGGREGATED_HIGH,
    COUNTER_LOW_MASK,
    DATAGRAM_HEADER,
    NONCE,
    NonceExhaustedError,
    SendCounter,
)
from domain.session.run_trial import RunTrial
from tests.adapters.primitives import PlainPrimitives
from tests.domain.packets.trains import TCP_IPV4, UDP_IPV6, some_payload
from tests.domain.session.aggregating import (
    DATAGRAM_BYTES,
    FRAME_ROUTE_ID,
    MTU_BYTES,
    SEGMENT_BYTES,
    SESSION_ID,
    Ends,
    datagram_session,
    datagrams_of,
    established,
    keys_of,
    numbered,
    one_by_one,
    super_packet,
)

_: type[ParcelCrypto] = AggregatedDatagrams


@pytest.fixture(name="ends")
def ends_of_a_new_session() -> Ends:
    return established()


def packets_of(parcels: list[Parcel]) -> list[bytes]:
    return [packet for parcel in parcels for packet in segment(parcel)]


# The good path


def test_a_super_packet_crosses_in_one_frame(ends: Ends) -> None:
    parcel = super_packet(47)

    runs = ends.client.seal_parcels([parcel])
    opened = ends.server.open_parcels(runs)

    assert len(runs) == 1
    assert len(datagrams_of(runs)) == 46
    assert opened == ([parcel], [], 1, 0, 0, 1, 0, 0)
    assert ends.server.held_bytes == 0


def test_small_packets_share_a_frame_and_keep_their_order(ends: Ends) -> None:
    parcels = [numbered(n, 64) for n in range(64)]

    runs = ends.client.seal_parcels(parcels)

    assert len(runs) == 1
    assert len(datagrams_of(runs)) == 4
    assert ends.server.open_parcels(runs).parcels == parcels


def test_everything_leaves_in_the_call_that_brings_it(ends: Ends) -> None:
    for n in range(3):
        assert ends.up(numbered(n)).parcels == [numbered(n)]
    assert ends.client.seal_parcels([]) == []
    assert ends.server.open_parcels([]) == ([], [], 0, None, -1, 0, 0, 0)


def test_a_datagram_has_the_header_of_the_specification(ends: Ends) -> None:
    ends.rekey(3)
    ends.client.seal_parcels([numbered(1)])

    datagrams = datagrams_of(ends.client.seal_parcels([numbered(2, MTU_BYTES), numbered(3, MTU_BYTES)]))

    assert [FRAME_HEADER.unpack_from(each) for each in datagrams] == [
        (SESSION_ID[8:16], 2, 0, 2, 3),
        (SESSION_ID[8:16], 2, 1, 2, 3),
    ]
    assert [len(each) for each in datagrams] == [
        DATAGRAM_BYTES,
        20 + 2 * (MTU_BYTES + 6) + 16 - (DATAGRAM_BYTES - 20),
    ]


def test_the_frame_is_sealed_as_the_specification_says(ends: Ends) -> None:
    datagrams = datagrams_of(ends.client.seal_parcels([numbered(1, 1400), numbered(2, 1400)]))

    sealed = b"".join(datagram[FRAME_HEADER_BYTES:] for datagram in datagrams)
    nonce = (1).to_bytes(8, "big") + b"\x00\x01" + b"\x00\x00"
    aead = PlainPrimitives().aead(keys_of(0).client_to_server)
    plaintext = aead.decrypt(nonce, sealed, SESSION_ID + b"client-to-server" + nonce)
    assert plaintext == b"".join(RECORD_HEADER.pack(1400, 0, 0) + numbered(n, 1400)[0] for n in (1, 2))


@pytest.mark.parametrize("segments", [1, 2, 3, 20, 46, 47])
@pytest.mark.parametrize("mtu_bytes", [576, 1280, 1420, 1500])
def test_no_datagram_is_larger_than_a_full_packet_of_plain_tungo(segments: int, mtu_bytes: int) -> None:
    client = datagram_session(Role.CLIENT, mtu_bytes=mtu_bytes)
    parcel = TCP_IPV4.train(some_payload(min(segments * (mtu_bytes - 40), 65_000)), mtu_bytes - 40)
    for client.limit.datagrams in (1, 4, 7, 46):
        for run, size in client.seal_parcels([parcel, (TCP_IPV4.packet(bytes(mtu_bytes - 40)), 0, False)]):
            assert size <= mtu_bytes + 36
            assert len(run) <= size * client.limit.datagrams or client.limit.datagrams == 1


@pytest.mark.parametrize("into", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_is_opened_and_nothing_of_it_is_kept(
    ends: Ends, into: type[bytes | bytearray | memoryview]
) -> None:
    parcels = [super_packet(5), numbered(1)]
    run, size = ends.client.seal_parcels(parcels)[0]
    buffer = bytearray(run)
    half = len(run) // size // 2 * size

    first = ends.server.open_parcels([(into(memoryview(buffer)[:half]), size)])
    buffer[:half] = bytes(half)
    second = ends.server.open_parcels([(into(memoryview(buffer)[half:]), size)])

    assert first.parcels == []
    assert second.parcels == parcels


def test_what_has_nothing_inside_is_a_sign_of_life_and_nothing_else(ends: Ends) -> None:
    empty = [
        ends.client._sealed_frame(b"", 1, ends.client._chunk_bytes),
        *one_by_one(ends.client.seal([b""])),
    ]

    assert ends.server.open_parcels(empty) == ([], [], 2, 0, 1, 2, 0, 0)


# How frames arrive


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 45, 46])
def test_a_frame_may_come_in_runs_of_any_length(ends: Ends, pieces: int) -> None:
    parcel = super_packet(47)
    [(run, size)] = ends.client.seal_parcels([parcel])
    runs = [(run[begin : begin + pieces * size], size) for begin in range(0, len(run), pieces * size)]

    opened = ends.server.open_parcels(runs)

    assert opened.parcels == [parcel]
    assert opened.newest == len(runs) - 1
    assert opened.dropped == 0


def test_a_run_may_hold_several_frames_and_ordinary_datagrams(ends: Ends) -> None:
    # What a kernel does with datagrams of one size in a row, the last one perhaps shorter.
    size = DATAGRAM_BYTES
    filling = 2 * (size - 20) - 16 - RECORD_HEADER_BYTES
    frames = [b"".join(datagrams_of(ends.client.seal_parcels([numbered(n, filling)]))) for n in (1, 2)]
    ordinary = ends.client.seal([numbered(3, MTU_BYTES)[0], numbered(4, MTU_BYTES)[0], PING])
    assert {len(each) for each in frames} == {2 * size}
    assert [len(each) for each in ordinary] == [size, size, 39]

    opened = ends.server.open_parcels(
        [(ordinary[0] + frames[0] + ordinary[1], size), (frames[1] + ordinary[2], size)]
    )

    assert opened.parcels == [
        numbered(3, MTU_BYTES),
        numbered(1, filling),
        numbered(4, MTU_BYTES),
        numbered(2, filling),
    ]
    assert opened.service == [(0, PING)]
    assert (opened.authenticated, opened.dropped, opened.newest) == (5, 0, 1)


@pytest.mark.parametrize("seed", range(10))
def test_chunks_in_any_order_make_the_frame(ends: Ends, seed: int) -> None:
    parcel = super_packet(47)
    datagrams = datagrams_of(ends.client.seal_parcels([parcel]))
    random.Random(seed).shuffle(datagrams)

    parcels: list[Parcel] = []
    for begin in range(0, len(datagrams), 7):
        parcels += ends.server.open_parcels(one_by_one(datagrams[begin : begin + 7])).parcels

    assert parcels == [parcel]
    assert ends.server.drops.refused == 0


def test_four_frames_may_arrive_interleaved(ends: Ends) -> None:
    parcels = [super_packet(5, seed) for seed in range(4)]
    frames = [datagrams_of(ends.client.seal_parcels([parcel])) for parcel in parcels]

    opened = ends.server.open_parcels(one_by_one(chunk for row in zip(*frames, strict=True) for chunk in row))

    assert opened.parcels == parcels
    assert ends.server.incomplete == 0


def test_a_frame_is_given_up_when_the_fourth_newer_one_begins(ends: Ends) -> None:
    first, *newer = [datagrams_of(ends.client.seal_parcels([super_packet(5, seed)])) for seed in range(6)]
    ends.server.open_parcels(one_by_one(first[:-1]))
    for frame in newer[:3]:
        ends.server.open_parcels(one_by_one(frame))
    assert ends.server.incomplete == 0

    ends.server.open_parcels(one_by_one(newer[3][:1]))

    assert ends.server.incomplete == 1
    assert ends.server.open_parcels(one_by_one(first[-1:])).dropped == 1
    assert ends.server.open_parcels(one_by_one(newer[3][1:])).parcels == [super_packet(5, 4)]


# The limit


@pytest.mark.parametrize("limit", [4, 5, 17, 46])
def test_frames_span_no_more_datagrams_than_the_limit_and_lose_nothing(ends: Ends, limit: int) -> None:
    ends.client.limit.datagrams = limit
    parcels = [numbered(1), super_packet(30), numbered(2, 900), super_packet(3, 9), numbered(3)]

    runs = ends.client.seal_parcels(parcels)

    assert max(len(datagrams_of([run])) for run in runs) <= limit
    assert all(run[:8] == FRAME_ROUTE_ID for run, _ in runs)
    assert packets_of(ends.server.open_parcels(runs).parcels) == packets_of(parcels)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_with_a_limit_that_is_not_worth_it_bulk_travels_as_in_a_plain_session(ends: Ends, limit: int) -> None:
    ends.client.limit.datagrams = limit
    parcels = [numbered(1, 60), super_packet(20), numbered(2, 60)]

    runs = ends.client.seal_parcels(parcels)

    assert [len(datagrams_of([run])) for run in runs] == [1, 21]  # the last of a run may be shorter
    assert {run[:8] for run, _ in runs} == {SESSION_ID[:8]}
    assert max(len(each) for each in datagrams_of(runs)) == DATAGRAM_BYTES
    assert ends.server.open_parcels(runs).parcels == parcels  # the segments were joined again


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_with_such_a_limit_small_packets_by_themselves_share_datagrams(ends: Ends, limit: int) -> None:
    ends.client.limit.datagrams = limit
    parcels = [*[numbered(n, 60) for n in range(9)], numbered(9, MTU_BYTES), numbered(10, 60)]

    runs = ends.client.seal_parcels(parcels)

    assert [len(datagrams_of([run])) for run in runs] == [1, 1, 1]
    assert [run[:8] for run, _ in runs] == [FRAME_ROUTE_ID, SESSION_ID[:8], FRAME_ROUTE_ID]
    assert packets_of(ends.server.open_parcels(runs).parcels) == packets_of(parcels)


def test_a_frame_holds_the_largest_record_and_no_more() -> None:
    client = datagram_session(Role.CLIENT, mtu_bytes=1500)
    parcels = [numbered(n, 1500) for n in range(60)]

    runs = client.seal_parcels([numbered(0, 0xFFFF), *parcels])

    sealed_bytes = [sum(len(each) - FRAME_HEADER_BYTES for each in datagrams_of([run])) for run in runs]
    assert sealed_bytes == [6 + 0xFFFF + 16, 43 * 1506 + 16, 17 * 1506 + 16]


def test_a_packet_with_a_partial_checksum_is_finished_before_it_travels_alone(ends: Ends) -> None:
    ends.client.limit.datagrams = 1
    payload = some_payload(SEGMENT_BYTES)

    opened = ends.up((TCP_IPV4.partial(payload), 0, True))

    assert opened.parcels == [(TCP_IPV4.packet(payload), 0, False)]


def test_a_packet_that_fits_no_frame_at_all_is_sent_as_plain_tungo_would(ends: Ends) -> None:
    ends.client.limit.datagrams = 1

    assert ends.up(numbered(1, 1500)).parcels == [numbered(1, 1500)]


def test_parcels_of_our_own_that_are_malformed_are_left_out_and_counted(ends: Ends) -> None:
    ends.client.limit.datagrams = 2
    broken: Parcel = (bytes([0x45]) + bytes(9000), 1400, True)

    assert ends.up(numbered(1), broken, numbered(2)).parcels == [numbered(1), numbered(2)]
    assert ends.client.unsendable == 1
    ends.client.limit.datagrams = 1
    assert ends.up((bytes([0x45]) + bytes(MTU_BYTES), 0, True)).parcels == []
    assert ends.client.unsendable == 2


def test_the_other_end_s_reports_set_the_limit_and_go_no_further(ends: Ends) -> None:
    reports = ends.server.seal([loss_report(990, 10), PONG])

    opened = ends.client.open_parcels(one_by_one(reports))

    assert ends.client.limit.datagrams == 3
    assert opened.service == [(0, PONG)]
    assert opened.authenticated == 2


def test_a_report_that_is_none_is_refused(ends: Ends) -> None:
    opened = ends.client.open_parcels(one_by_one(ends.server.seal([loss_report(1, 1) + b"\0"])))

    assert (opened.service, opened.dropped) == ([], 1)
    assert ends.client.limit.datagrams == MOST_DATAGRAMS


@pytest.mark.parametrize("loses_single_ones_too", [False, True])
def test_datagrams_go_one_by_one_where_runs_get_lost_and_in_runs_on_any_other_bad_path(
    loses_single_ones_too: bool,
) -> None:
    verdicts: list[str] = []
    trial = RunTrial(lambda: verdicts.append("runs get lost"))
    ends = Ends(datagram_session(Role.CLIENT, trial=trial), datagram_session(Role.SERVER))
    datagrams = 0
    arrived: list[bytes] = []

    def spend_a_second(now_s: float) -> None:
        nonlocal datagrams
        for n in range(2 * REORDERING):
            small_alone, large = [numbered(n)], [numbered(n, MTU_BYTES), super_packet(4)]
            for run in ends.client.seal_parcels(small_alone) + ends.client.seal_parcels(large):
                frames = datagrams_of([run])
                datagrams += 1
                if len(frames) == 1 and not (loses_single_ones_too and datagrams % 3):
                    arrived.extend(packets_of(ends.server.open_parcels([run]).parcels))
        report = ends.server.loss_report(now_s)
        if report is not None:
            ends.client.open_parcels(one_by_one(ends.server.seal([report])))

    for second in range(40):
        spend_a_second(second * 2.0)
    arrived.clear()
    spend_a_second(100.0)

    assert (verdicts == []) is loses_single_ones_too
    assert trial.in_runs is loses_single_ones_too
    if not loses_single_ones_too:
        assert len(arrived) == 2 * REORDERING * 6


# Loss reports, end to end


def test_no_loss_is_reported_once_a_second_while_something_comes(ends: Ends) -> None:
    assert ends.server.loss_report(0.0) is None
    for n in range(REORDERING + 5):
        ends.up(numbered(n, 1400), numbered(n, 1400))

    assert ends.server.loss_report(1.0) is None  # the second begins
    assert ends.server.loss_report(1.9) is None
    assert ends.server.loss_report(2.0) == loss_report(10, 0)
    assert ends.server.loss_report(9.0) is None


def test_what_is_missing_is_reported_for_frames_and_for_ordinary_datagrams(ends: Ends) -> None:
    lost_chunk = datagrams_of(ends.client.seal_parcels([super_packet(3)]))
    ends.client.seal_parcels([super_packet(3)])  # lost as a whole: counts for one
    ends.server.open_parcels(one_by_one(lost_chunk[1:]))
    ends.client.seal([PING] * 2)
    for n in range(REORDERING + 2):
        ends.up(numbered(n))
    for _ in range(REORDERING + 8):
        ends.server.open_parcels(one_by_one(ends.client.seal([PING])))

    # Frames 1 to 4 and ordinary datagrams 1 to 10 are settled.
    assert ends.server.loss_report(0.0) is None
    assert ends.server.loss_report(1.0) == loss_report((len(lost_chunk) - 1) + 2 + 8, 1 + 1 + 2)


@pytest.mark.parametrize("seed", range(3))
def test_reordering_is_no_loss(ends: Ends, seed: int) -> None:
    network = random.Random(seed)
    datagrams: list[bytes] = []
    for n in range(300):
        if n % 3:
            datagrams += datagrams_of(ends.client.seal_parcels([numbered(n, 1200)] * 2))
        else:
            datagrams += ends.client.seal([numbered(n)[0]])
    jittered = sorted(enumerate(datagrams), key=lambda each: each[0] + network.uniform(0, 3))

    received = 0
    for position, (_, datagram) in enumerate(jittered):
        ends.server.open_parcels(one_by_one([datagram]))
        report = ends.server.loss_report(position)
        if position == len(jittered) - 1:
            report = report or ends.server.loss_report(position + 1)
        if report is not None:
            count, missing = loss_of_untrusted(report)
            assert missing == 0
            received += count
    assert received == 2 * (200 - REORDERING) + 100 - REORDERING


# Replay, forgery and confusion of the two kinds


def test_a_replayed_frame_is_refused_before_it_is_kept(ends: Ends) -> None:
    runs = ends.client.seal_parcels([super_packet(5)])
    assert ends.server.open_parcels(runs).authenticated == 1

    assert ends.server.open_parcels(runs) == ([], [], 0, None, -1, 1, 5, 0)
    assert ends.server.open_parcels(one_by_one(datagrams_of(runs)[:2])).dropped == 2
    assert (ends.server.held_bytes, ends.server.drops.replayed) == (0, 7)


def test_a_repeated_chunk_is_taken_once(ends: Ends) -> None:
    datagrams = datagrams_of(ends.client.seal_parcels([super_packet(5)]))

    opened = ends.server.open_parcels(
        one_by_one([datagrams[1], *datagrams[:-1], datagrams[2], datagrams[-1]])
    )

    assert opened.parcels == [super_packet(5)]
    assert opened.dropped == 2


def test_a_frame_under_the_ordinary_route_id_is_not_taken_for_a_datagram(ends: Ends) -> None:
    # The tag fits: route ids are not authenticated. A frame of one chunk is the easiest to disguise.
    [datagram] = datagrams_of(ends.client.seal_parcels([numbered(1)]))
    nonce = NONCE.pack(1, AGGREGATED_HIGH, 0)
    disguised = SESSION_ID[:8] + nonce + datagram[FRAME_HEADER_BYTES:]
    plain = DatagramSession(PlainPrimitives(), Role.SERVER, SESSION_ID, keys_of(0))
    assert plain.open([disguised]).authenticated == 1

    assert ends.server.open_parcels(one_by_one([disguised])) == ([], [], 0, None, -1, 1, 1, 0)
    assert ends.server.open([disguised]).authenticated == 0
    assert ends.server.open_parcels(one_by_one([datagram])).parcels == [numbered(1)]


def test_an_ordinary_datagram_under_the_route_id_of_frames_does_not_open(ends: Ends) -> None:
    [ordinary] = ends.client.seal([numbered(1)[0]])
    disguised = FRAME_HEADER.pack(FRAME_ROUTE_ID, 1, 0, 1, 0) + ordinary[DATAGRAM_HEADER.size :]

    assert ends.server.open_parcels(one_by_one([disguised])).authenticated == 0
    assert ends.server.drops.unauthenticated == 1
    assert ends.server.open_parcels(one_by_one([ordinary])).parcels == [numbered(1)]


def test_a_reflected_frame_is_dropped(ends: Ends) -> None:
    assert ends.client.open_parcels(ends.client.seal_parcels([super_packet(2)])).authenticated == 0
    assert ends.client.drops.unauthenticated == 2


def test_a_flipped_bit_in_any_byte_of_a_frame_is_fatal_to_it(ends: Ends) -> None:
    [datagram] = datagrams_of(ends.client.seal_parcels([numbered(7)]))

    for position in range(len(datagram)):
        damaged = bytearray(datagram)
        damaged[position] ^= 1 << position % 8
        assert ends.server.open_parcels(one_by_one([damaged])).authenticated == 0

    assert ends.server.open_parcels(one_by_one([datagram])).parcels == [numbered(7)]


def test_a_forged_chunk_costs_its_frame_and_no_other(ends: Ends) -> None:
    first, second = (datagrams_of(ends.client.seal_parcels([super_packet(5, seed)])) for seed in (1, 2))
    forged = FRAME_HEADER.pack(FRAME_ROUTE_ID, 1, 2, 5, 0) + bytes(len(first[2]) - FRAME_HEADER_BYTES)

    opened = ends.server.open_parcels(one_by_one([first[0], forged, *first[1:], *second]))

    assert opened.parcels == [super_packet(5, 2)]
    # The frame of five, and the real chunk that found its place taken.
    assert opened.dropped == 5 + 1
    assert ends.server.held_bytes == 0


def test_the_real_chunk_that_comes_after_its_frame_was_spoilt_is_not_kept(ends: Ends) -> None:
    frame = datagrams_of(ends.client.seal_parcels([super_packet(5)]))
    forged = FRAME_HEADER.pack(FRAME_ROUTE_ID, 1, 2, 5, 0) + bytes(len(frame[2]) - FRAME_HEADER_BYTES)
    assert ends.server.open_parcels(one_by_one([forged, *frame[:2], *frame[3:]])).dropped == 5

    assert ends.server.open_parcels(one_by_one(frame[2:3])).dropped == 1
    assert ends.server.held_bytes == 0


def test_a_frame_that_comes_at_once_does_away_with_what_was_made_up_about_it(ends: Ends) -> None:
    runs = ends.client.seal_parcels([super_packet(5)])
    forged = FRAME_HEADER.pack(FRAME_ROUTE_ID, 1, 2, 46, 0) + bytes(1000)
    ends.server.open_parcels(one_by_one([forged]))
    assert ends.server.held_bytes == 1000

    assert ends.server.open_parcels(runs).parcels == [super_packet(5)]
    assert (ends.server.held_bytes, ends.server.incomplete) == (0, 0)


def test_no_frame_has_more_chunks_than_the_specification_allows(ends: Ends) -> None:
    for count, authenticated in ((46, 1), (47, 0)):
        ends.client._chunk_bytes = 100
        run = ends.client._sealed_frame(bytes(100 * count - 16), count, ends.client._chunk_bytes)
        assert len(datagrams_of([run])) == count

        for arriving in ([run], one_by_one(datagrams_of([run]))):
            opened = ends.server.open_parcels(arriving)
            assert opened.authenticated == authenticated
            authenticated = 0  # noqa: PLW2901 - the second time it is a replay


def test_only_the_newest_frame_or_ordinary_datagram_may_move_the_peer_s_address(ends: Ends) -> None:
    frames = [datagrams_of(ends.client.seal_parcels([numbered(n, 1400)] * 2)) for n in range(4)]
    pings = ends.client.seal([PING] * 3)

    assert ends.server.open_parcels(one_by_one(frames[2])).newest == 1
    assert ends.server.open_parcels(one_by_one([*frames[0], *frames[1]])).newest == -1
    assert ends.server.open_parcels(one_by_one([pings[1]])).newest == 0
    assert ends.server.open_parcels(one_by_one([pings[0]])).newest == -1
    assert ends.server.open_parcels(one_by_one([frames[3][0]])).newest == -1  # not authentic yet
    assert ends.server.open_parcels(one_by_one([pings[2], frames[3][1]])).newest == 1


# Epochs and nonces


def test_frames_follow_a_rekey_and_late_ones_of_the_old_epoch_still_open(ends: Ends) -> None:
    late = ends.client.seal_parcels([super_packet(3, 1)])
    ends.client.install(Epoch(1), keys_of(1))
    ends.client.activate(Epoch(1))
    early = ends.client.seal_parcels([super_packet(3, 2)])
    assert ends.server.open_parcels(early).dropped == 3  # of an epoch that nobody has installed
    assert ends.server.drops.unknown_epoch == 3

    ends.server.install(Epoch(1), keys_of(1))

    opened = ends.server.open_parcels([*late, *early])
    assert opened.parcels == [super_packet(3, 1), super_packet(3, 2)]
    assert (opened.highest_epoch, opened.newest) == (1, 1)
    assert ends.server.open_parcels(late).dropped == 3


def test_a_frame_in_part_survives_a_rekey(ends: Ends) -> None:
    datagrams = datagrams_of(ends.client.seal_parcels([super_packet(3)]))
    ends.server.open_parcels(one_by_one(datagrams[:1]))
    ends.rekey(1)

    opened = ends.server.open_parcels(one_by_one(datagrams[1:]))

    assert (opened.parcels, opened.highest_epoch) == ([super_packet(3)], 0)


def test_the_highest_epoch_is_seen_in_either_kind(ends: Ends) -> None:
    ordinary, frame = ends.client.seal([PING]), ends.client.seal_parcels([numbered(1)])
    ends.rekey(1)
    new_ordinary, new_frame = ends.client.seal([PING]), ends.client.seal_parcels([numbered(1)])

    assert ends.server.open_parcels([*one_by_one(new_ordinary), *frame]).highest_epoch == 1
    assert ends.server.open_parcels([*new_frame, *one_by_one(ordinary)]).highest_epoch == 1


class RecordingAead:
    """Remembers every nonce that was used to seal."""

    def __init__(self, aead: Aead, nonces: list[bytes]) -> None:
        self._aead = aead
        self._nonces = nonces

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes:
        self._nonces.append(bytes(nonce))
        return self._aead.encrypt(nonce, data, associated_data)

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes:
        return self._aead.decrypt(nonce, data, associated_data)


class RecordingPrimitives(PlainPrimitives):
    def __init__(self) -> None:
        self.nonces: dict[bytes, list[bytes]] = {}  # by key

    def aead(self, key: bytes) -> Aead:
        return RecordingAead(super().aead(key), self.nonces.setdefault(key, []))


def test_no_nonce_is_ever_used_twice_under_one_key() -> None:
    primitives = RecordingPrimitives()
    client = datagram_session(Role.CLIENT, primitives)
    choice = random.Random(1)
    for epoch in range(4):
        if epoch:
            client.install(Epoch(epoch), keys_of(epoch))
            client.activate(Epoch(epoch))
        for _ in range(200):
            client.limit.datagrams = choice.choice([1, 2, 46])
            client.seal_parcels([super_packet(choice.randint(1, 3)), numbered(1)])
            client.seal([PING] * choice.randint(0, 2))

    used = [nonces for nonces in primitives.nonces.values() if nonces]
    assert len(used) == 4
    for nonces in used:
        assert len(nonces) == len(set(nonces))
        assert {NONCE.unpack(nonce)[1] for nonce in nonces} == {0, AGGREGATED_HIGH}


def test_neither_kind_counts_into_the_nonces_of_the_other(ends: Ends) -> None:
    ends.client._counter._last = ends.client._frame_counter._last = COUNTER_LOW_MASK - 1
    assert len(ends.client.seal([PING])) == 1
    assert len(ends.client.seal_parcels([numbered(1)])) == 1

    with pytest.raises(NonceExhaustedError):
        ends.client.seal([PING])
    with pytest.raises(NonceExhaustedError):
        ends.client.seal_parcels([numbered(1)])


def test_a_batch_of_frames_that_would_exhaust_the_counter_seals_none(ends: Ends) -> None:
    ends.client._frame_counter = SendCounter(Epoch(0), last=COUNTER_LOW_MASK - 1, end=COUNTER_LOW_MASK)

    with pytest.raises(NonceExhaustedError):
        ends.client.seal_parcels([super_packet(47), super_packet(47)])

    assert ends.up(super_packet(47)).authenticated == 1


# What an authenticated peer may not do


def test_records_that_are_none_are_counted_and_the_rest_is_kept(ends: Ends) -> None:
    too_large = UDP_IPV6.train(some_payload(4000), MTU_BYTES)  # its segments do not fit the MTU
    not_ip: Parcel = (bytes(40), 0, False)

    opened = ends.up(numbered(1), not_ip, too_large, numbered(2))

    assert opened.parcels == [numbered(1), numbered(2)]
    assert (opened.authenticated, opened.malformed, opened.dropped) == (1, 2, 0)
