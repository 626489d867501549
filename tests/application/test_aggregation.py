"""Super-packets through a whole tunnel, both ends back to back: what travels whole, and who may send it."""

import random
from dataclasses import replace
from typing import TypeAlias

import pytest

from application.network.connection.crypto import ParcelCrypto
from application.server.sessions import PeerSession
from domain.addressing.endpoint import Endpoint
from domain.packets.ip import source_of
from domain.packets.parcel import Parcel
from domain.packets.records import RECORD_HEADER, RECORD_HEADER_BYTES, encode
from domain.session.aggregated_datagrams import AggregatedDatagrams
from domain.session.aggregated_stream import AggregatedStream
from domain.session.chunks import FRAME_HEADER, FRAME_HEADER_BYTES
from domain.session.identifiers import ROUTE_ID_BYTES
from domain.session.liveness import SERVER_IDLE_LIMIT_S
from domain.session.loss import MOST_DATAGRAMS, REORDERING
from domain.session.nonce import DATAGRAM_OVERHEAD_BYTES
from domain.session.runs import SealedRun, one_by_one
from domain.settings.profile import LARGEST_MTU_BYTES
from infrastructure.tunnel.sizes import BATCH_SIZE
from tests.adapters.udp import CALM, Weather
from tests.application.bed import PROFILE, SERVER, Bed, ClientEnd, ipv4_packet, key_pair
from tests.application.stream_bed import StreamBed, StreamClientEnd, StreamServerEnd
from tests.domain.packets.trains import Flow, some_payload
from tests.hostile.wiretap import TappedNetwork

AnyClient: TypeAlias = ClientEnd | StreamClientEnd

OUTSIDE = "203.0.113.5"
OUTSIDE_V6 = "2001:db8::5"
ELSEWHERE = Endpoint("203.0.113.66", 6666)
SEGMENT_BYTES = PROFILE.mtu_bytes - 60
FULL_BYTES = 60_000

EACH_TRANSPORT = pytest.mark.parametrize("bed_of", [Bed, StreamBed], ids=["datagrams", "stream"])
EACH_VERSION = pytest.mark.parametrize("version", [4, 6])
EACH_DIRECTION = pytest.mark.parametrize("direction", ["up", "down"])


def up_from(client: AnyClient, version: int = 4) -> Flow:
    """A flow of the client's host to the outside."""
    if version == 4:
        return Flow(client.address, OUTSIDE)
    assert client.addresses.ipv6 is not None
    return Flow(str(client.addresses.ipv6.ip), OUTSIDE_V6)


def down_to(client: AnyClient, version: int = 4) -> Flow:
    """Its answers."""
    up = up_from(client, version)
    return replace(up, source=up.destination, destination=up.source)


def train_of(flow: Flow, size: int = FULL_BYTES, seed: int = 1) -> Parcel:
    return flow.train(some_payload(size, seed), SEGMENT_BYTES)


def send(client: AnyClient, *parcels: Parcel) -> None:
    """The client's host sends these into the tunnel; they are on their way afterwards."""
    client.tun.route_in_parcels(*parcels)
    client.drain()


def connect_again(bed: Bed | StreamBed, *, aggregated: bool) -> None:
    """The first client shakes hands once more; its session of before goes with its next packet."""
    if isinstance(bed, Bed):
        bed.clients[0].aggregated = aggregated
        bed.connect(bed.clients[0])
    else:
        bed.clients[0].aggregated = aggregated
        bed.connect(bed.clients[0])


def take_datagrams(bed: Bed) -> list[bytes]:
    """What is on its way to the server, taken off the wire."""
    inbox = bed.server.listener.mailbox.inbox
    datagrams = [datagram for datagram, _source in inbox]
    inbox.clear()
    return datagrams


def deliver(bed: Bed, datagrams: list[bytes], source: Endpoint) -> None:
    for datagram in datagrams:
        bed.server.listener.mailbox.put(datagram, source, 0)
    bed.server.drain()


def over_datagrams(crypto: ParcelCrypto) -> AggregatedDatagrams:
    assert isinstance(crypto, AggregatedDatagrams)
    return crypto


def sealed_by(client: AnyClient, records: bytes) -> list[SealedRun]:
    """One aggregated frame with this plaintext, whatever it is, sealed with the client's keys."""
    crypto = client.established.crypto
    if isinstance(crypto, AggregatedStream):
        return one_by_one(crypto.seal([records]))
    session = over_datagrams(crypto)
    return [session._sealed_frame(records, session._frame_counter.reserve(1) + 1, session._chunk_bytes)]


def session_of(bed: Bed | StreamBed, client: AnyClient) -> PeerSession:
    (session,) = bed.server.sessions.find_by_public_key(key_pair(client.client_id).public)
    return session


@EACH_VERSION
@EACH_TRANSPORT
def test_super_packets_go_through_whole_both_ways(bed_of: type[Bed] | type[StreamBed], version: int) -> None:
    bed = bed_of(aggregated=True)
    (client,) = bed.clients
    requests = [train_of(up_from(client, version), seed=seed) for seed in range(20)]
    answers = [train_of(down_to(client, version), seed=seed) for seed in range(20)]
    send(client, *requests)
    bed.settle()
    assert bed.server.tun.parcels_written == requests
    bed.server.tun.route_in_parcels(*answers)
    bed.settle()
    assert client.tun.parcels_written == answers
    assert (client.counters.packets_out, client.counters.packets_in) == (20, 20)


@EACH_TRANSPORT
def test_packets_with_partial_checksums_and_small_ones_keep_their_place_between_super_packets(
    bed_of: type[Bed] | type[StreamBed],
) -> None:
    bed = bed_of(aggregated=True)
    (client,) = bed.clients
    flow = up_from(client)
    sent: list[Parcel] = [
        (flow.packet(b"finished"), 0, False),
        train_of(flow),
        (flow.partial(b"partial"), 0, True),
        (flow.packet(bytes(SEGMENT_BYTES)), 0, False),
        train_of(flow, 5000),
    ]
    send(client, *sent)
    bed.settle()
    assert bed.server.tun.parcels_written == sent


@pytest.mark.parametrize("segment_bytes", [1200, PROFILE.mtu_bytes - 40])
def test_no_datagram_of_a_frame_is_larger_than_a_plain_one_with_a_segment(segment_bytes: int) -> None:
    bed = Bed(aggregated=True)
    (client,) = bed.clients
    send(client, up_from(client).train(some_payload(FULL_BYTES), segment_bytes))
    datagrams = take_datagrams(bed)
    route_id = over_datagrams(client.established.crypto).aggregated_route_id
    assert {datagram[:ROUTE_ID_BYTES] for datagram in datagrams} == {route_id}
    assert {FRAME_HEADER.unpack_from(datagram)[1] for datagram in datagrams} <= {1, 2}
    assert max(map(len, datagrams)) == 40 + segment_bytes + DATAGRAM_OVERHEAD_BYTES


@EACH_TRANSPORT
def test_super_packets_of_an_end_with_a_larger_mtu_are_taken(bed_of: type[Bed] | type[StreamBed]) -> None:
    bed = bed_of(aggregated=True)
    (client,) = bed.clients
    large = down_to(client).train(some_payload(FULL_BYTES), LARGEST_MTU_BYTES - 40)
    bed.server.tun.route_in_parcels(large)
    bed.settle()
    assert client.tun.parcels_written == [large]


@EACH_VERSION
@EACH_TRANSPORT
def test_a_super_packet_with_a_foreign_source_is_dropped_at_both_ends(
    bed_of: type[Bed] | type[StreamBed], version: int
) -> None:
    bed = bed_of(count=2, aggregated=True)
    thief, victim = bed.clients
    forged, own = train_of(up_from(victim, version)), train_of(up_from(thief, version))
    send(thief, forged)
    bed.settle()
    assert thief.counters.dropped_source == 1
    thief.transport.egress().send_runs(thief.established.crypto.seal_parcels([forged, own]))
    bed.settle()
    assert bed.server.counters.dropped_source == 1
    assert bed.server.tun.parcels_written == [own]


@EACH_TRANSPORT
def test_one_server_serves_a_plain_and_an_aggregated_client_at_once(
    bed_of: type[Bed] | type[StreamBed],
) -> None:
    bed = bed_of(count=2, aggregated=True)
    plain, aggregated = bed.clients
    connect_again(bed, aggregated=False)
    for client in bed.clients:
        send(client, train_of(up_from(client)))
    bed.settle()
    assert train_of(up_from(aggregated)) in bed.server.tun.parcels_written
    address = plain.addresses.ipv4.ip.packed
    from_plain = [packet for packet in bed.server.tun.written if source_of(packet) == address]
    assert from_plain == up_from(plain).packets(some_payload(FULL_BYTES), SEGMENT_BYTES)
    bed.server.tun.route_in_parcels(*(train_of(down_to(client)) for client in bed.clients))
    bed.settle()
    assert aggregated.tun.parcels_written == [train_of(down_to(aggregated))]
    assert plain.tun.written == down_to(plain).packets(some_payload(FULL_BYTES), SEGMENT_BYTES)
    assert not plain.established.aggregated
    assert session_of(bed, plain).frames_route_id is None


@EACH_DIRECTION
@EACH_TRANSPORT
def test_ends_of_which_one_wants_no_frames_speak_plainly(
    bed_of: type[Bed] | type[StreamBed], direction: str
) -> None:
    bed = bed_of(aggregated=direction == "down")  # which end it is that wants none
    (client,) = bed.clients
    connect_again(bed, aggregated=direction == "up")
    send(client, train_of(up_from(client)))
    bed.settle()
    assert not client.established.aggregated
    assert bed.server.tun.written == up_from(client).packets(some_payload(FULL_BYTES), SEGMENT_BYTES)


def test_what_a_plain_client_and_its_server_say_has_the_ordinary_route_id() -> None:
    network = TappedNetwork()
    bed = Bed(count=2, network=network, aggregated=True)
    plain, aggregated = bed.clients
    connect_again(bed, aggregated=False)
    begun = len(network.said)
    for client in bed.clients:
        send(client, train_of(up_from(client)))
        bed.settle()
        bed.server.tun.route_in_parcels(train_of(down_to(client)))
        bed.settle()
    homes = {client.transport.mailbox.endpoint: client for client in bed.clients}
    route_ids: dict[ClientEnd, set[bytes]] = {client: set() for client in bed.clients}
    for said in network.said[begun:]:
        client = homes[said.to if said.source == SERVER else said.source]
        route_ids[client].add(said.datagram[:ROUTE_ID_BYTES])
    assert route_ids[plain] == {session_of(bed, plain).route_id}
    assert route_ids[aggregated] == {session_of(bed, aggregated).frames_route_id}


@EACH_TRANSPORT
def test_keys_change_in_the_midst_of_super_packets_both_ways(bed_of: type[Bed] | type[StreamBed]) -> None:
    bed = bed_of(rekey_interval_s=1.0, aggregated=True)
    (client,) = bed.clients
    requests = [train_of(up_from(client), seed=seed) for seed in range(5)]
    answers = [train_of(down_to(client), seed=seed) for seed in range(5)]
    for request, answer in zip(requests, answers, strict=True):
        bed.clock.advance(1.0)
        client.worker.handle_timer()
        # In front of and behind everything that the rekey sends.
        client.tun.route_in_parcels(request)
        bed.server.tun.route_in_parcels(answer)
        bed.settle()
    assert client.established.crypto.send_epoch == 5
    assert bed.server.tun.parcels_written == requests
    assert client.tun.parcels_written == answers


def test_a_frame_of_which_half_arrives_after_the_keys_have_changed_is_whole() -> None:
    bed = Bed(rekey_interval_s=1.0, aggregated=True)
    (client,) = bed.clients
    old, new = (train_of(up_from(client), seed=seed) for seed in range(2))
    send(client, old)
    datagrams = take_datagrams(bed)
    deliver(bed, datagrams[:20], client.transport.mailbox.endpoint)
    bed.clock.advance(1.0)
    client.worker.handle_timer()
    bed.settle()
    assert client.established.crypto.send_epoch == 1
    send(client, new)
    bed.settle()
    deliver(bed, datagrams[20:], client.transport.mailbox.endpoint)
    assert bed.server.tun.parcels_written == [new, old]


@EACH_DIRECTION
def test_the_frames_follow_the_loss_that_the_other_end_reports(direction: str) -> None:
    bed = Bed(aggregated=True)
    (client,) = bed.clients
    sender, flow, tun = {
        "up": (client.established.crypto, up_from(client), client.tun),
        "down": (session_of(bed, client).crypto, down_to(client), bed.server.tun),
    }[direction]
    limit = over_datagrams(sender).limit
    parcel = train_of(flow, 8 * SEGMENT_BYTES)

    def spend_a_second() -> None:
        for _ in range(2 * REORDERING):
            tun.route_in_parcels(parcel)
            bed.settle()
        bed.clock.advance(1.0)

    assert limit.datagrams == MOST_DATAGRAMS
    bed.network.weather = Weather(loss=0.01)
    for _ in range(6):
        spend_a_second()
    assert 1 <= limit.datagrams <= 6
    bed.network.weather = CALM
    for _ in range(20):
        spend_a_second()
    assert limit.datagrams == MOST_DATAGRAMS
    arrived = {"up": bed.server.tun, "down": client.tun}[direction].written
    assert set(arrived) == set(flow.packets(some_payload(8 * SEGMENT_BYTES), SEGMENT_BYTES))


@EACH_DIRECTION
def test_a_slow_peer_on_a_stream_loses_super_packets_before_they_are_sealed(direction: str) -> None:
    bed = StreamBed(count=2, aggregated=True)
    slow, quick = bed.clients
    (connection,) = [
        connection
        for connection in bed.server.listener.connections
        if connection.egress() is session_of(bed, slow).egress
    ]
    stalled = slow.transport.end if direction == "down" else connection
    counters = bed.server.counters if direction == "down" else slow.counters
    flow = down_to if direction == "down" else up_from
    sent = {client: [train_of(flow(client), seed=seed) for seed in range(40)] for client in bed.clients}
    stalled.stalled = True
    for pair in zip(sent[slow], sent[quick], strict=True):
        for client, parcel in zip(bed.clients, pair, strict=True):
            (bed.server.tun if direction == "down" else client.tun).route_in_parcels(parcel)
        quick.drain()
        slow.drain()
        bed.server.drain()
    quick.drain()
    assert 0 < counters.dropped_no_room < 40
    stalled.stalled = False
    bed.settle()
    taken = 40 - counters.dropped_no_room
    if direction == "down":
        assert slow.tun.parcels_written == sent[slow][:taken]
        assert quick.tun.parcels_written == sent[quick]
    else:
        written = bed.server.tun.parcels_written
        assert [parcel for parcel in written if parcel in sent[slow]] == sent[slow][:taken]
        assert [parcel for parcel in written if parcel in sent[quick]] == sent[quick]
    assert len(bed.server.sessions) == 2


@EACH_DIRECTION
def test_a_burst_of_super_packets_does_not_end_the_connection_of_a_slow_peer(direction: str) -> None:
    bed = StreamBed(aggregated=True)
    (client,) = bed.clients
    (connection,) = bed.server.listener.connections
    stalled, flow = (client.transport.end, down_to) if direction == "down" else (connection, up_from)
    ends: list[StreamServerEnd | StreamClientEnd] = [bed.server, client]
    near, far = ends if direction == "down" else reversed(ends)
    near.worker._batch_size = BATCH_SIZE
    sent = [train_of(flow(client), seed=seed) for seed in range(BATCH_SIZE)]
    stalled.stalled = True
    near.tun.route_in_parcels(*sent)
    near.worker.handle_tun()
    assert 0 < near.counters.dropped_no_room < BATCH_SIZE
    stalled.stalled = False
    bed.settle()
    assert far.tun.parcels_written == sent[: BATCH_SIZE - near.counters.dropped_no_room]
    assert near.counters.packets_out == len(far.tun.parcels_written)
    assert len(bed.server.sessions) == 1


def test_the_newest_frame_moves_the_client_and_an_older_one_does_not_move_it_back() -> None:
    bed = Bed(aggregated=True)
    (client,) = bed.clients
    old_home, new_home = client.transport.mailbox.endpoint, Endpoint("203.0.113.9", 999)
    parcels = [train_of(up_from(client), seed=seed) for seed in range(3)]
    frames = []
    for parcel in parcels:
        send(client, parcel)
        frames.append(take_datagrams(bed))
    first, held_up, newest = frames
    session = session_of(bed, client)
    deliver(bed, first, old_home)
    deliver(bed, newest[:-1], new_home)
    assert session.egress.endpoint == old_home  # nothing of it is authentic before it is whole
    deliver(bed, newest[-1:], new_home)
    assert session.egress.endpoint == new_home
    deliver(bed, held_up, old_home)
    assert session.egress.endpoint == new_home
    assert bed.server.tun.parcels_written == [parcels[0], parcels[2], parcels[1]]


def test_forged_and_repeated_chunks_from_elsewhere_do_not_move_the_client() -> None:
    bed = Bed(aggregated=True)
    (client,) = bed.clients
    send(client, train_of(up_from(client)))
    datagrams = take_datagrams(bed)
    deliver(bed, datagrams, client.transport.mailbox.endpoint)
    choice = random.Random(1)
    for datagram in datagrams:
        route_id, counter, index, count, epoch = FRAME_HEADER.unpack_from(datagram)
        chunk = datagram[FRAME_HEADER_BYTES:]
        deliver(bed, [datagram], ELSEWHERE)
        for ahead in (0, 1, 2):
            header = FRAME_HEADER.pack(route_id, counter + ahead, index, count, epoch)
            deliver(bed, [header + choice.randbytes(len(chunk))], ELSEWHERE)
    assert session_of(bed, client).egress.endpoint == client.transport.mailbox.endpoint
    assert len(bed.server.tun.parcels_written) == 1
    assert bed.server.counters.dropped_unauthentic > 0


def test_sessions_that_were_replaced_or_have_expired_leave_none_of_their_route_ids() -> None:
    bed = Bed(aggregated=True)
    (client,) = bed.clients
    sessions = bed.server.sessions

    def route_ids() -> list[bytes]:
        session = session_of(bed, client)
        assert session.frames_route_id is not None
        return [session.route_id, session.frames_route_id]

    send(client, train_of(up_from(client)))
    bed.settle()
    replaced = route_ids()
    assert None not in map(sessions.find_by_route_id, replaced)
    bed.connect(client)
    send(client, train_of(up_from(client)))
    bed.settle()
    assert list(map(sessions.find_by_route_id, replaced)) == [None, None]
    expired = route_ids()
    bed.clock.advance(2 * SERVER_IDLE_LIMIT_S)
    bed.server.worker.handle_timer()
    assert list(map(sessions.find_by_route_id, expired)) == [None, None]
    assert len(sessions) == 0


@EACH_TRANSPORT
def test_malformed_records_are_counted_and_the_rest_of_the_frame_passes(
    bed_of: type[Bed] | type[StreamBed],
) -> None:
    bed = bed_of(aggregated=True)
    (client,) = bed.clients
    train = train_of(up_from(client), 3 * SEGMENT_BYTES)
    packet = ipv4_packet(client.address, OUTSIDE)
    good: list[Parcel] = [train, (packet, 0, False)]
    lies = [
        RECORD_HEADER.pack(len(train[0]), LARGEST_MTU_BYTES, 1) + train[0],  # segments beyond any MTU
        RECORD_HEADER.pack(len(train[0]), 7, 1) + train[0],  # smaller than Linux makes
        RECORD_HEADER.pack(len(train[0]), SEGMENT_BYTES, 0) + train[0],  # a whole checksum
        RECORD_HEADER.pack(len(train[0]), SEGMENT_BYTES, 3) + train[0],  # an unknown flag
        RECORD_HEADER.pack(len(packet), 0, 0) + bytes(len(packet)),  # no IP packet
        RECORD_HEADER.pack(len(packet), 0, 1) + packet,  # partial, of no protocol that has a checksum
    ]
    frame = encode(good[:1]) + b"".join(lies) + encode(good[1:])
    client.transport.egress().send_runs(sealed_by(client, frame))
    bed.settle()
    assert bed.server.counters.dropped_malformed == len(lies)
    assert bed.server.tun.parcels_written == good
    # One that runs over the end, and an end too short for one.
    for rest in (RECORD_HEADER.pack(1000, 0, 0) + packet, bytes(RECORD_HEADER_BYTES - 1)):
        client.transport.egress().send_runs(sealed_by(client, encode(good) + rest))
    bed.settle()
    assert bed.server.counters.dropped_malformed == len(lies) + 2
    assert bed.server.tun.parcels_written == 3 * good
    send(client, train)
    bed.settle()
    assert bed.server.tun.parcels_written[-1] == train


@EACH_TRANSPORT
def test_super_packets_right_behind_the_servers_answer_are_read(bed_of: type[Bed] | type[StreamBed]) -> None:
    bed = bed_of(aggregated=True)
    (client,) = bed.clients
    bed.server.sessions.remove(session_of(bed, client))
    waiting = [train_of(down_to(client), seed=seed) for seed in range(3)]
    bed.server.tun.route_in_parcels(*waiting)
    connect_again(bed, aggregated=True)
    client.worker.handle_transport()  # what was read together with the answer, if anything
    bed.settle()
    assert client.tun.parcels_written == waiting
