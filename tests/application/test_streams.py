"""A tunnel over streams, both ends back to back: sessions, strangers, slow peers, and how they end."""

import asyncio

import pytest

from application.network.connection.handshake import HandshakeFailedError
from application.network.connection.transport import TransportError
from application.network.routing.worker import SessionEndedError
from application.server.access import AccessControl
from application.server.streams import HANDSHAKE_LIMIT_S, MAX_STRANGERS, MAX_STRANGERS_PER_SOURCE
from domain.addressing.peers import AccessList
from domain.noise.client import ClientHandshake, Delivery
from domain.noise.load import LOAD_THRESHOLD
from domain.packets.service import PING
from domain.session.framing import framed
from domain.session.liveness import SERVER_IDLE_LIMIT_S, SERVER_REAPER_PERIOD_S
from tests.adapters.entropy import SeededEntropy
from tests.adapters.streams import FakeStreamEnd
from tests.application.bed import BATCH, CAPABILITIES, PRIMITIVES, SERVER_KEYS, ipv4_packet, key_pair
from tests.application.stream_bed import SERVER, StreamBed

OUTSIDE = "203.0.113.5"


def stranger(bed: StreamBed, host: str = "203.0.113.66") -> FakeStreamEnd:
    """The other end of a new connection to the server, which has accepted it."""
    end = bed.network.connect(host, SERVER)
    bed.server.drain()
    return end


def is_over(end: FakeStreamEnd) -> bool:
    """Whether the server has closed the connection."""
    try:
        end.read_frames()
    except TransportError:
        return True
    return False


def message1(number: int = 1, seed: int = 9) -> bytes:
    """The first message of client ``number``, framed."""
    machine = ClientHandshake(
        PRIMITIVES, SERVER_KEYS.public, key_pair(number), CAPABILITIES, delivery=Delivery.STREAM
    )
    return framed(machine.start(0.0, SeededEntropy(seed).random_bytes))


def test_a_packet_goes_through_the_tunnel_and_its_answer_comes_back() -> None:
    bed = StreamBed()
    (client,) = bed.clients
    requests = [ipv4_packet(client.address, OUTSIDE, bytes([n])) for n in range(3 * BATCH + 1)]
    client.send(*requests)
    bed.settle()
    assert bed.server.tun.written == requests
    answers = [ipv4_packet(OUTSIDE, client.address, bytes([n])) for n in range(3 * BATCH + 1)]
    bed.server.tun.route_in(*answers)
    bed.settle()
    assert client.tun.written == answers


def test_each_client_gets_its_own_packets() -> None:
    bed = StreamBed(count=3)
    answers = [ipv4_packet(OUTSIDE, client.address, bytes([client.client_id])) for client in bed.clients]
    bed.server.tun.route_in(*answers)
    bed.settle()
    for client, answer in zip(bed.clients, answers, strict=True):
        assert client.tun.written == [answer]


def test_keys_change_in_the_midst_of_traffic_both_ways() -> None:
    bed = StreamBed(rekey_interval_s=1.0)
    (client,) = bed.clients
    for turn in range(5):
        bed.clock.advance(1.0)
        client.worker.handle_timer()
        # Frames in front of and behind everything that the rekey sends.
        client.tun.route_in(ipv4_packet(client.address, OUTSIDE, bytes([turn])))
        bed.server.tun.route_in(ipv4_packet(OUTSIDE, client.address, bytes([turn])))
        bed.settle()
        assert client.rekey.send_epoch == turn + 1
    assert len(bed.server.tun.written) == 5
    assert len(client.tun.written) == 5


def test_frames_right_behind_the_ack_of_a_rekey_are_read_with_the_new_keys() -> None:
    bed = StreamBed(rekey_interval_s=1.0)
    (client,) = bed.clients
    bed.clock.advance(1.0)
    client.worker.handle_timer()
    bed.server.drain()
    answers = [ipv4_packet(OUTSIDE, client.address, bytes([n])) for n in range(3)]
    bed.server.tun.route_in(*answers)
    bed.server.drain()
    client.drain()  # the ack in epoch 0 and the packets in epoch 1 come in one read
    assert client.rekey.send_epoch == 1
    assert client.tun.written == answers


def test_a_bad_frame_costs_its_sender_the_connection_and_nobody_else() -> None:
    bed = StreamBed(count=2)
    bad, good = bed.clients
    bad.transport.end.write(framed(bytes(40)))
    bed.server.drain()
    assert is_over(bad.transport.end)
    assert [session.peer.client_id for session in bed.server.sessions] == [2]
    assert bed.server.log.messages[-1] == "session failed"
    packet = ipv4_packet(good.address, OUTSIDE)
    good.send(packet)
    bed.server.drain()
    assert bed.server.tun.written == [packet]


def test_a_client_that_gets_a_bad_frame_connects_anew() -> None:
    bed = StreamBed()
    (client,) = bed.clients
    (connection,) = bed.server.listener.connections
    connection.write(framed(bytes(40)))
    with pytest.raises(SessionEndedError):
        client.drain()


def test_a_client_that_comes_back_replaces_its_old_connection() -> None:
    bed = StreamBed()
    (client,) = bed.clients
    old = client.transport
    bed.connect(client)
    assert not is_over(old.end)  # a replayed message 1 would come this far
    client.send(ipv4_packet(client.address, OUTSIDE))
    bed.server.drain()
    assert is_over(old.end)
    assert len(bed.server.sessions) == 1
    bed.server.tun.route_in(ipv4_packet(OUTSIDE, client.address))
    bed.server.drain()
    client.drain()
    assert len(client.tun.written) == 1


def test_a_connection_that_breaks_takes_its_session_along() -> None:
    bed = StreamBed()
    bed.clients[0].transport.end.cut()
    bed.server.drain()
    assert len(bed.server.sessions) == 0
    assert bed.server.log.messages[-1] == "client disconnected"
    with pytest.raises(SessionEndedError, match="reset"):
        bed.clients[0].drain()


def test_a_revoked_client_loses_its_connection_at_once() -> None:
    bed = StreamBed(count=2)
    access = AccessControl(handshake=bed.server.handshake, sessions=[bed.server.sessions], log=bed.server.log)
    (kept,) = [session.peer for session in bed.server.sessions if session.peer.client_id == 2]
    asyncio.run(access.replace(AccessList([kept])))
    assert is_over(bed.clients[0].transport.end)
    assert not is_over(bed.clients[1].transport.end)


def test_a_silent_session_is_closed() -> None:
    bed = StreamBed()
    bed.clock.advance(SERVER_IDLE_LIMIT_S + SERVER_REAPER_PERIOD_S + 1)
    bed.server.worker.handle_timer()
    assert is_over(bed.clients[0].transport.end)
    assert len(bed.server.sessions) == 0


def test_a_peer_that_does_not_read_loses_packets_and_the_others_none() -> None:
    bed = StreamBed(count=2)
    slow, quick = bed.clients
    slow.send(ipv4_packet(slow.address, OUTSIDE))
    quick.send(ipv4_packet(quick.address, OUTSIDE))
    bed.settle()
    slow.transport.end.stalled = True
    for _ in range(400):
        bed.server.tun.route_in(
            *[ipv4_packet(OUTSIDE, client.address, bytes(1000)) for client in bed.clients]
        )
        bed.server.drain()
        quick.drain()
    assert len(quick.tun.written) == 400
    assert 0 < bed.server.counters.dropped_no_room < 400
    slow.transport.end.stalled = False
    bed.settle()
    # What was dropped was never sealed: the stream is whole, and the session goes on.
    assert len(slow.tun.written) == 400 - bed.server.counters.dropped_no_room
    assert len(bed.server.sessions) == 2


def test_a_client_whose_server_does_not_read_drops_before_sealing_and_goes_on() -> None:
    bed = StreamBed()
    (client,) = bed.clients
    (connection,) = bed.server.listener.connections
    connection.stalled = True
    for _ in range(400):
        client.send(ipv4_packet(client.address, OUTSIDE, bytes(1000)))
    assert client.counters.dropped_no_room > 0
    connection.stalled = False
    bed.settle()
    assert len(bed.server.tun.written) == 400 - client.counters.dropped_no_room


def test_a_peer_that_asks_and_never_reads_the_answers_is_let_go() -> None:
    bed = StreamBed()
    (client,) = bed.clients
    client.transport.end.stalled = True
    crypto = client.established.crypto
    for _ in range(60):
        client.transport.end.write(b"".join(crypto.seal([PING] * 1000)))
        bed.server.drain()
    assert len(bed.server.sessions) == 0


@pytest.mark.parametrize("length", [1, 15, 16, 17, 112, 200, 1518])
def test_a_first_frame_that_is_no_message_ends_the_connection_without_an_answer(length: int) -> None:
    bed = StreamBed()
    end = stranger(bed)
    end.write(framed(bytes(length)))
    bed.server.drain()
    assert end.inbox == b""
    assert is_over(end)
    assert bed.server.reasons() == ["the first frame is no handshake message"]


@pytest.mark.parametrize("length", [0, 1519, 65_535])
def test_a_length_that_cannot_be_ends_the_connection(length: int) -> None:
    bed = StreamBed()
    end = stranger(bed)
    end.write(length.to_bytes(2))
    bed.server.drain()
    assert is_over(end)
    assert len(bed.server.reasons()) == 1


def test_a_message_for_another_server_ends_the_connection_without_an_answer() -> None:
    bed = StreamBed()
    end = stranger(bed)
    message = bytearray(message1())
    message[10] ^= 1
    end.write(bytes(message))
    bed.server.drain()
    assert end.inbox == b""
    assert is_over(end)
    assert bed.server.reasons() == ["the handshake was refused"]


def test_data_right_behind_the_first_message_ends_the_connection() -> None:
    bed = StreamBed()
    end = stranger(bed)
    end.write(message1() + framed(bytes(40)))
    bed.server.drain()
    assert is_over(end)
    assert bed.server.reasons() == ["data before the handshake was done"]


def test_a_connection_without_a_handshake_is_closed_after_ten_seconds_and_not_before() -> None:
    bed = StreamBed()
    end = stranger(bed)
    end.write(message1()[:-1])
    bed.server.drain()
    bed.clock.advance(HANDSHAKE_LIMIT_S - 0.1)
    bed.server.worker.handle_timer()
    assert not is_over(end)
    assert bed.server.worker.next_deadline_s() == pytest.approx(bed.clock.monotonic_s() + 0.1)
    bed.clock.advance(0.2)
    bed.server.worker.handle_timer()
    assert is_over(end)
    assert bed.server.reasons() == ["no handshake within 10 s"]


def test_of_too_many_strangers_the_oldest_goes_and_a_client_still_gets_in() -> None:
    bed = StreamBed()
    ends = [stranger(bed, f"10.{n >> 8}.{n & 255}.1") for n in range(MAX_STRANGERS)]
    assert not any(is_over(end) for end in ends)
    late = stranger(bed, "10.200.0.1")
    assert [is_over(end) for end in ends[:2]] == [True, False]
    assert not is_over(late)
    bed.connect(bed.clients[0])
    assert is_over(ends[1])


def test_one_source_cannot_take_the_places_of_all() -> None:
    bed = StreamBed()
    other = stranger(bed, "203.0.113.1")
    ends = [stranger(bed, "2001:db8:1:2::" + f"{n:x}") for n in range(1, MAX_STRANGERS_PER_SOURCE + 2)]
    assert [is_over(end) for end in ends[:2]] == [True, False]
    assert not is_over(other)


def test_under_load_a_client_is_asked_for_a_cookie_on_the_same_connection() -> None:
    bed = StreamBed()
    flood(bed)
    bed.connect(bed.clients[0])
    assert bed.server.counters.handshakes_challenged == 1


def test_a_second_challenge_is_the_last_word() -> None:
    bed = StreamBed()
    flood(bed)
    end = stranger(bed)
    end.write(message1(seed=101))
    bed.server.drain()
    (reply,) = end.read_frames()
    assert len(reply) == 56
    end.write(message1(seed=102))
    bed.server.drain()
    (reply,) = end.read_frames()
    assert len(reply) == 56
    assert is_over(end)


def test_a_server_that_asks_twice_ends_the_attempt_of_a_client() -> None:
    bed = StreamBed()
    flood(bed)
    (client,) = bed.clients

    async def changing_cookies() -> None:
        connecting = asyncio.ensure_future(client.connect(bed.server))
        while bed.server.counters.handshakes_challenged < 1:
            await asyncio.sleep(0)
        bed.clock.suspend(1000)  # what the client was given is out of date
        await connecting

    with pytest.raises(HandshakeFailedError):
        asyncio.run(changing_cookies())


def flood(bed: StreamBed) -> None:
    """So many valid first messages within a second that the server asks for cookies from now on."""
    for _ in range(LOAD_THRESHOLD + 1):
        bed.server.handshake._load_monitor.record(bed.clock.monotonic_s())
    bed.clock.advance(1.0)
    bed.server.handshake._load_monitor.record(bed.clock.monotonic_s())
