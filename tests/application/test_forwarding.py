"""Packets through a whole tunnel, both ends back to back, and what hostile datagrams do to it: nothing."""

import asyncio

import pytest

from application.network.routing.tun import TunClosedError
from application.network.routing.worker import SessionEndedError
from domain.addressing.endpoint import Endpoint
from domain.addressing.peers import AccessList
from domain.noise.client import ClientHandshake
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.packets.service import EPOCH_EXHAUSTED, PING
from domain.session.datagram import DatagramSession
from domain.session.liveness import (
    DEAD_AFTER_S,
    FIRST_PING_AFTER_S,
    SERVER_IDLE_LIMIT_S,
    SERVER_REAPER_PERIOD_S,
)
from domain.session.nonce import LAST_COUNTER, SendCounter
from domain.session.plain_parcels import PlainParcels
from tests.adapters.entropy import SeededEntropy
from tests.application.bed import (
    BATCH,
    PRIMITIVES,
    SERVER,
    SERVER_KEYS,
    Bed,
    ClientEnd,
    ipv4_packet,
    key_pair,
)

OUTSIDE = "203.0.113.5"
STRANGER = Endpoint("203.0.113.66", 6666)


def sent_by_client(bed: Bed, packet: bytes) -> bytes:
    """The datagram in which client 1 sends ``packet``, taken off the wire."""
    bed.clients[0].send(packet)
    inbox = bed.server.listener.mailbox.inbox
    datagram, _source = inbox.pop()
    return datagram


def inject(bed: Bed, datagram: bytes, source: Endpoint = STRANGER) -> None:
    """A stranger sends ``datagram`` to the server."""
    bed.server.listener.mailbox.put(datagram, source, 0)
    bed.server.drain()


def test_a_packet_goes_through_the_tunnel_and_its_answer_comes_back() -> None:
    bed = Bed()
    (client,) = bed.clients
    request = ipv4_packet(client.address, OUTSIDE, b"request")
    answer = ipv4_packet(OUTSIDE, client.address, b"answer")
    client.send(request)
    bed.settle()
    assert bed.server.tun.written == [request]
    bed.server.tun.route_in(answer)
    bed.settle()
    assert client.tun.written == [answer]
    assert (client.counters.packets_out, client.counters.packets_in) == (1, 1)
    assert (bed.server.counters.bytes_in, bed.server.counters.bytes_out) == (len(request), len(answer))


def test_more_packets_than_a_batch_arrive_in_order() -> None:
    bed = Bed()
    (client,) = bed.clients
    packets = [ipv4_packet(client.address, OUTSIDE, bytes([n])) for n in range(5 * BATCH + 3)]
    client.send(*packets)
    bed.settle()
    assert bed.server.tun.written == packets


def test_one_call_moves_a_bounded_number_of_packets() -> None:
    bed = Bed()
    (client,) = bed.clients
    client.tun.route_in(*[ipv4_packet(client.address, OUTSIDE)] * (10 * BATCH))
    client.worker.handle_tun()
    assert 0 < client.tun.waiting < 10 * BATCH
    bed.server.worker.handle_transport()
    assert (
        len(bed.server.tun.written)
        <= len(bed.server.listener.mailbox.inbox) + 10 * BATCH - client.tun.waiting
    )


def test_each_client_gets_its_own_packets() -> None:
    bed = Bed(count=3)
    answers = [ipv4_packet(OUTSIDE, client.address, bytes([client.client_id])) for client in bed.clients]
    bed.server.tun.route_in(*answers, *answers)
    bed.settle()
    for client, answer in zip(bed.clients, answers, strict=True):
        assert client.tun.written == [answer, answer]


def test_a_source_that_is_not_the_clients_own_is_dropped_at_both_ends() -> None:
    bed = Bed(count=2)
    thief, victim = bed.clients
    forged = ipv4_packet(victim.address, OUTSIDE)
    thief.send(forged)
    assert thief.counters.dropped_source == 1
    for datagram in thief.established.crypto.seal([forged]):
        inject(bed, datagram)
    assert bed.server.counters.dropped_source == 1
    assert bed.server.tun.written == []


def test_a_destination_that_nobody_has_is_dropped_and_counted() -> None:
    bed = Bed()
    bed.server.tun.route_in(ipv4_packet(OUTSIDE, "10.0.1.99"), b"\x00nonsense")
    bed.settle()
    assert bed.server.counters.dropped_no_peer == 2


@pytest.mark.parametrize("length", [0, 1, 7, 8, 35, 36, 112, 113, 130, 1535])
def test_garbage_meets_silence_and_the_tunnel_goes_on(length: int) -> None:
    bed = Bed()
    stranger = bed.network.attach(STRANGER)
    inject(bed, SeededEntropy(length).random_bytes(length))
    assert not stranger.inbox
    assert len(bed.server.sessions) == 1
    packet = ipv4_packet(bed.clients[0].address, OUTSIDE)
    bed.clients[0].send(packet)
    bed.settle()
    assert bed.server.tun.written == [packet]


def test_an_oversized_datagram_is_counted_and_never_reaches_registration() -> None:
    bed = Bed()
    refused = bed.server.counters.handshakes_refused
    inject(bed, bytes(4000))
    assert bed.server.counters.dropped_truncated == 1
    assert bed.server.counters.handshakes_refused == refused


def test_a_replayed_datagram_is_dropped_and_does_not_move_the_client() -> None:
    bed = Bed()
    (client,) = bed.clients
    datagram = sent_by_client(bed, ipv4_packet(client.address, OUTSIDE))
    home = client.transport.mailbox.endpoint
    inject(bed, datagram, home)
    inject(bed, datagram, STRANGER)
    assert len(bed.server.tun.written) == 1
    (session,) = bed.server.sessions
    assert session.egress.endpoint == home


def test_the_newest_datagram_moves_the_client_and_an_older_one_does_not_move_it_back() -> None:
    bed = Bed()
    (client,) = bed.clients
    packet = ipv4_packet(client.address, OUTSIDE)
    old_home = client.transport.mailbox.endpoint
    new_home = Endpoint("203.0.113.9", 999)
    first, held_up, newest = (sent_by_client(bed, packet) for _ in range(3))
    (session,) = bed.server.sessions
    inject(bed, first, old_home)
    inject(bed, newest, new_home)
    assert session.egress.endpoint == new_home
    inject(bed, held_up, old_home)
    assert session.egress.endpoint == new_home
    assert len(bed.server.tun.written) == 3


def test_a_damaged_datagram_from_elsewhere_does_not_move_the_client() -> None:
    bed = Bed()
    (client,) = bed.clients
    datagram = bytearray(sent_by_client(bed, ipv4_packet(client.address, OUTSIDE)))
    datagram[-1] ^= 1
    inject(bed, bytes(datagram))
    (session,) = bed.server.sessions
    assert session.egress.endpoint == client.transport.mailbox.endpoint
    assert bed.server.tun.written == []


def test_unknown_and_disabled_clients_get_no_answer() -> None:
    bed = Bed(count=2)
    bed.server.handshake.access_list = AccessList([])
    stranger = ClientEnd(bed.network, bed.clock, 2)

    async def attempt() -> list[tuple[bytes, Endpoint]]:
        transport = await stranger.dialer.dial(SERVER)
        message = await first_message(stranger)
        await transport.send_message(message)
        bed.server.drain()
        return list(transport.mailbox.inbox)

    assert asyncio.run(attempt()) == []
    assert bed.server.counters.handshakes_refused > 0


async def first_message(client: ClientEnd) -> bytes:
    machine = ClientHandshake(PRIMITIVES, SERVER_KEYS.public, key_pair(client.client_id))
    return machine.start(0.0, client.entropy.random_bytes)


def test_a_second_handshake_takes_over_with_its_first_datagram() -> None:
    bed = Bed()
    (client,) = bed.clients
    packet = ipv4_packet(client.address, OUTSIDE)
    client.send(packet)
    bed.settle()
    (old_session,) = bed.server.sessions
    bed.connect(client)
    assert next(iter(bed.server.sessions)) is old_session
    client.send(packet)
    bed.settle()
    (new_session,) = bed.server.sessions
    assert new_session is not old_session
    assert bed.server.log.messages.count("client connected") == 2
    answer = ipv4_packet(OUTSIDE, client.address)
    bed.server.tun.route_in(answer)
    bed.settle()
    assert client.tun.written == [answer]


def test_a_silent_client_pings_and_the_answer_keeps_it_alive() -> None:
    bed = Bed()
    (client,) = bed.clients
    for _ in range(60):
        deadline_s = client.worker.next_deadline_s()
        assert deadline_s is not None
        bed.clock.now_s = deadline_s
        client.worker.handle_timer()
        bed.settle()
    assert bed.clock.now_s > 1_000 + 3 * DEAD_AFTER_S
    assert client.tun.written == []


def test_a_client_without_a_server_ends_its_session_after_the_time_out() -> None:
    bed = Bed()
    (client,) = bed.clients
    started_s = bed.clock.now_s
    while bed.clock.now_s < started_s + DEAD_AFTER_S - 1.0:
        bed.clock.advance(1.0)
        client.worker.handle_timer()
        bed.server.listener.mailbox.inbox.clear()
    bed.clock.now_s = started_s + DEAD_AFTER_S
    assert client.worker.next_deadline_s() == bed.clock.now_s
    with pytest.raises(SessionEndedError, match="too long"):
        client.worker.handle_timer()


def test_the_first_ping_goes_out_soon_after_the_start() -> None:
    bed = Bed()
    (client,) = bed.clients
    bed.clock.advance(FIRST_PING_AFTER_S)
    client.worker.handle_timer()
    (session,) = bed.server.sessions
    (datagram, _source) = bed.server.listener.mailbox.inbox.pop()
    opened = session.crypto.open([datagram])
    assert [plaintext for _epoch, plaintext in opened.service] == [PING]


def test_the_server_forgets_a_silent_session_and_keeps_a_talking_one() -> None:
    bed = Bed(count=2)
    silent, talking = bed.clients
    for client in bed.clients:
        client.send(ipv4_packet(client.address, OUTSIDE))
    bed.settle()
    end_s = bed.clock.now_s + SERVER_IDLE_LIMIT_S + SERVER_REAPER_PERIOD_S
    while bed.clock.now_s < end_s:
        bed.clock.advance(1.0)
        talking.send(ipv4_packet(talking.address, OUTSIDE))
        bed.settle()
        bed.server.worker.handle_timer()
    assert [session.peer.client_id for session in bed.server.sessions] == [talking.client_id]
    assert "session expired" in bed.server.log.messages
    assert silent.client_id == 1


def test_exhausted_epochs_end_the_clients_session() -> None:
    bed = Bed()
    (client,) = bed.clients
    (session,) = bed.server.sessions
    session.egress.send_batch(session.crypto.seal([EPOCH_EXHAUSTED]))
    with pytest.raises(SessionEndedError, match="key generation"):
        client.drain()


def test_a_vanished_tun_device_is_the_callers_to_know() -> None:
    bed = Bed()
    bed.clients[0].tun.vanish()
    with pytest.raises(TunClosedError):
        bed.clients[0].worker.handle_tun()


def test_a_recorded_first_message_opens_one_session_however_often_it_comes() -> None:
    bed = Bed()
    recorded = asyncio.run(first_message(bed.clients[0]))
    inject(bed, recorded, Endpoint("198.51.100.7", 5000))
    accepted = bed.server.counters.handshakes_accepted
    sessions = list(bed.server.sessions)
    for port in range(200):
        inject(bed, recorded, Endpoint("203.0.113.66", 1000 + port))
    assert bed.server.counters.handshakes_accepted == accepted
    assert list(bed.server.sessions) == sessions


def test_one_sessions_failure_is_not_the_others_end() -> None:
    bed = Bed(count=2)
    broken, sound = bed.clients
    (session,) = bed.server.sessions.find_by_public_key(bed.peers[0].public_key)
    crypto = DatagramSession(PRIMITIVES, Role.SERVER, SessionId(bytes(32)), EpochKeys(bytes(32), bytes(32)))
    crypto._counter = SendCounter(crypto.send_epoch, last=LAST_COUNTER)
    session.crypto = PlainParcels(crypto)
    answers = [ipv4_packet(OUTSIDE, client.address) for client in (broken, sound)]
    bed.server.tun.route_in(*answers)
    bed.settle()
    assert sound.tun.written == [answers[1]]
    assert broken.tun.written == []
    assert "session failed" in bed.server.log.messages
    assert [each.peer.client_id for each in bed.server.sessions] == [sound.client_id]
