"""Fresh keys in the midst of traffic, over whole tunnels."""

import pytest

from application.client.control import SUSPEND_CHECK_S
from application.network.routing.worker import SessionEndedError
from domain.addressing.peers import AccessList
from domain.packets.service import ServicePacketType, type_of_untrusted
from domain.rekey.rules import REKEY_INTERVAL_S
from domain.session.identifiers import Epoch
from tests.adapters.udp import Weather
from tests.application.bed import Bed, ClientEnd, ipv4_packet

OUTSIDE = "203.0.113.5"


def let_time_pass(bed: Bed, seconds: float) -> None:
    """Handle every deadline of both ends until then."""
    end_s = bed.clock.now_s + seconds
    while True:
        deadlines = [client.worker.next_deadline_s() for client in bed.clients]
        deadlines.append(bed.server.worker.next_deadline_s())
        due_s = min(deadline for deadline in deadlines if deadline is not None)
        if due_s > end_s:
            break
        bed.clock.now_s = max(due_s, bed.clock.now_s)
        for client in bed.clients:
            client.worker.handle_timer()
        bed.server.worker.handle_timer()
        bed.settle()
    bed.clock.now_s = end_s


def epochs(bed: Bed, client: ClientEnd) -> tuple[Epoch, Epoch]:
    (session,) = bed.server.sessions
    return client.established.crypto.send_epoch, session.crypto.send_epoch


def test_an_idle_session_rekeys_by_itself_again_and_again() -> None:
    bed = Bed()
    (client,) = bed.clients
    let_time_pass(bed, 5 * REKEY_INTERVAL_S + 5)
    assert epochs(bed, client) == (5, 5)
    packet = ipv4_packet(client.address, OUTSIDE)
    client.send(packet)
    bed.settle()
    assert bed.server.tun.written == [packet]


def test_packets_sent_before_the_new_keys_arrive_after_them() -> None:
    bed = Bed()
    (client,) = bed.clients
    old = client.established.crypto.seal([ipv4_packet(client.address, OUTSIDE, b"held up")])
    let_time_pass(bed, REKEY_INTERVAL_S + 5)
    assert epochs(bed, client) == (1, 1)
    for datagram in old:
        bed.network.send(datagram, client.transport.mailbox, client.transport.remote_endpoint)
    bed.settle()
    assert len(bed.server.tun.written) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_hostile_network_costs_packets_and_never_the_session(seed: int) -> None:
    bed = Bed(seed=seed)
    (client,) = bed.clients
    bed.network.weather = Weather(loss=0.2, duplication=0.1, reordering=0.2, corruption=0.05)
    for _ in range(20):
        let_time_pass(bed, REKEY_INTERVAL_S)
        client.send(ipv4_packet(client.address, OUTSIDE))
        bed.server.tun.route_in(ipv4_packet(OUTSIDE, client.address))
        bed.settle()
    bed.network.weather = Weather()
    let_time_pass(bed, 10)
    ours, theirs = epochs(bed, client)
    assert ours == theirs
    assert ours >= 18


def test_a_peer_that_is_no_longer_admitted_gets_no_new_keys() -> None:
    bed = Bed()
    (client,) = bed.clients
    bed.server.handshake.access_list = AccessList([])
    let_time_pass(bed, REKEY_INTERVAL_S + 5)
    assert epochs(bed, client) == (0, 0)


def test_a_client_that_has_slept_connects_anew() -> None:
    bed = Bed()
    (client,) = bed.clients
    let_time_pass(bed, 5)
    bed.clock.suspend(3600)
    bed.clock.advance(SUSPEND_CHECK_S)
    with pytest.raises(SessionEndedError, match="suspended"):
        client.worker.handle_timer()


def test_unknown_service_packets_are_consumed_without_an_answer() -> None:
    bed = Bed()
    (client,) = bed.clients
    (session,) = bed.server.sessions
    strange = [b"\xff\x01" + bytes([kind]) + b"body" for kind in range(256) if kind != ServicePacketType.PING]
    for datagram in client.established.crypto.seal(strange):
        bed.network.send(datagram, client.transport.mailbox, client.transport.remote_endpoint)
    bed.server.drain()
    assert not client.transport.mailbox.inbox
    for datagram in session.crypto.seal([packet for packet in strange if type_of_untrusted(packet) != 6]):
        session.egress.send_batch([datagram])
    client.drain()
    assert client.tun.written == []
    assert bed.server.tun.written == []
