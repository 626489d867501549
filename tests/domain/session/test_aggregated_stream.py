"""Transcripts: both ends of a session with aggregated frames on a stream."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.network.connection.crypto import ParcelCrypto
from domain.noise.keys import Role
from domain.packets.parcel import Parcel
from domain.packets.segment import segment
from domain.packets.service import PING, rekey_init_v1
from domain.session.aggregated_stream import (
    LARGEST_AGGREGATED_BODY_BYTES,
    LARGEST_RECORDS_BYTES,
    AggregatedStream,
)
from domain.session.framing import FramingError, split_frames
from domain.session.identifiers import Epoch
from domain.session.opened import SERVICE_MARK, OpenedParcels
from domain.session.runs import ReceivedRun, SealedRun
from domain.session.stream import BODY_OVERHEAD_BYTES, StreamBrokenError
from tests.adapters.primitives import PlainPrimitives
from tests.domain.packets.trains import TCP_IPV4, some_payload
from tests.domain.session.aggregating import MTU_BYTES, SESSION_ID, keys_of, numbered, super_packet

_: type[ParcelCrypto] = AggregatedStream


def stream_session(role: Role) -> AggregatedStream:
    return AggregatedStream(PlainPrimitives(), role, SESSION_ID, keys_of(0), mtu_bytes=MTU_BYTES)


def bodies_of(runs: list[SealedRun]) -> list[ReceivedRun]:
    """As the other end's transport hands them out."""
    stream = b"".join(run for run, _ in runs)
    bodies, taken = split_frames(stream, LARGEST_AGGREGATED_BODY_BYTES)
    assert taken == len(stream)
    return [(body, len(body)) for body in bodies]


@dataclass(slots=True)
class Ends:
    client: AggregatedStream
    server: AggregatedStream

    def up(self, *parcels: Parcel) -> OpenedParcels:
        return self.server.open_parcels(bodies_of(self.client.seal_parcels(parcels)))


@pytest.fixture(name="ends")
def ends_of_a_new_session() -> Ends:
    return Ends(stream_session(Role.CLIENT), stream_session(Role.SERVER))


def test_a_super_packet_crosses_in_one_frame(ends: Ends) -> None:
    runs = ends.client.seal_parcels([super_packet(47)])

    assert [len(run) == size for run, size in runs] == [True]
    assert ends.server.open_parcels(bodies_of(runs)) == ([super_packet(47)], [], 1, 0, -1, 1, 0, 0)


def test_small_packets_share_a_frame_and_keep_their_order(ends: Ends) -> None:
    parcels = [numbered(n, 64) for n in range(900)]

    runs = ends.client.seal_parcels(parcels)

    assert len(runs) == 1
    assert ends.server.open_parcels(bodies_of(runs)).parcels == parcels


def test_more_than_one_frame_s_worth_is_sealed_into_several(ends: Ends) -> None:
    parcels = [super_packet(47, seed) for seed in range(3)]

    opened = ends.up(*parcels)

    assert (opened.parcels, opened.authenticated, opened.consumed) == (parcels, 3, 3)


def test_a_plain_peer_s_framing_refuses_such_frames(ends: Ends) -> None:
    [(run, _)] = ends.client.seal_parcels([super_packet(47)])

    with pytest.raises(FramingError):
        split_frames(run)


@pytest.mark.parametrize("size", [0xFEFF, 0xFF00, 0xFFFF])
def test_no_record_is_taken_for_a_service_packet(ends: Ends, size: int) -> None:
    train = TCP_IPV4.train(some_payload(size - 40), 1300)

    runs = ends.client.seal_parcels([train])
    opened = ends.server.open_parcels(bodies_of(runs))

    assert len(runs) == (1 if size == 0xFEFF else 2)
    assert (opened.service, opened.malformed) == ([], 0)
    assert [p for parcel in opened.parcels for p in segment(parcel)] == segment(train)


def test_the_fullest_frame_does_not_begin_with_the_mark() -> None:
    assert LARGEST_RECORDS_BYTES - 6 == (SERVICE_MARK << 8) - 1
    assert LARGEST_RECORDS_BYTES + BODY_OVERHEAD_BYTES <= LARGEST_AGGREGATED_BODY_BYTES


def test_what_fits_no_frame_is_left_out_and_counted(ends: Ends) -> None:
    assert ends.up(numbered(1), numbered(2, 0xFFFF), numbered(3)).parcels == [numbered(1), numbered(3)]
    assert ends.up(numbered(4), (bytes(0xFFFF), 1000, True)).parcels == [numbered(4)]
    assert ends.client.unsendable == 2


def test_service_packets_come_apart_and_stop_the_stream_as_ever(ends: Ends) -> None:
    init = rekey_init_v1(bytes(32))
    runs = [
        *ends.client.seal_parcels([numbered(1)]),
        *((frame, len(frame)) for frame in ends.client.seal([PING, init])),
        *ends.client.seal_parcels([numbered(2)]),
    ]
    bodies = bodies_of(runs)

    opened = ends.server.open_parcels(bodies)

    assert opened == ([numbered(1)], [(0, PING), (0, init)], 3, 0, -1, 3, 0, 0)
    assert ends.server.open_parcels(bodies[3:]).parcels == [numbered(2)]


def test_a_frame_with_the_mark_that_is_no_service_packet_is_counted(ends: Ends) -> None:
    frames = ends.client.seal([b"\xff\x00", b"\xff", b"\x00"])

    opened = ends.server.open_parcels(bodies_of([(frame, len(frame)) for frame in frames]))

    assert (opened.parcels, opened.service, opened.authenticated, opened.malformed) == ([], [], 3, 3)


def test_a_rekey_in_the_middle_loses_nothing(ends: Ends) -> None:
    runs = ends.client.seal_parcels([super_packet(47)])
    for end in (ends.server, ends.client):
        end.install(Epoch(1), keys_of(1))
        end.activate(Epoch(1))
    runs += ends.client.seal_parcels([super_packet(47, 2)])

    opened = ends.server.open_parcels(bodies_of(runs))

    assert (opened.parcels, opened.highest_epoch) == ([super_packet(47), super_packet(47, 2)], 1)
    assert ends.server.receive_epochs == (1,)


def test_a_damaged_frame_breaks_the_stream(ends: Ends) -> None:
    [(body, size)] = bodies_of(ends.client.seal_parcels([super_packet(47)]))
    damaged = bytearray(body)
    damaged[30_000] ^= 1

    with pytest.raises(StreamBrokenError):
        ends.server.open_parcels([(damaged, size)])


def test_nothing_is_ever_reported(ends: Ends) -> None:
    ends.up(*[numbered(n) for n in range(200)])

    assert ends.server.loss_report(1e9) is None


@given(st.lists(st.binary(max_size=80)))
def test_no_plaintext_of_an_authentic_peer_does_more_than_count(plaintexts: list[bytes]) -> None:
    client, server = stream_session(Role.CLIENT), stream_session(Role.SERVER)
    bodies = bodies_of([(frame, len(frame)) for frame in client.seal(plaintexts)])

    while bodies:
        opened = server.open_parcels(bodies)
        assert all(packet[0] >> 4 in {4, 6} for packet, _, _ in opened.parcels)
        assert opened.consumed > 0
        bodies = bodies[opened.consumed :]
