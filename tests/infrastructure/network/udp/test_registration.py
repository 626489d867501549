"""The queue of strangers: its bounds, its fairness and its doses."""

import pytest

from application.network.connection.egress import PeerEgress
from application.network.routing.counters import TunnelCounters
from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.registration import (
    DOSE_S,
    MAX_DATAGRAMS_PER_ENDPOINT,
    MAX_ENDPOINTS,
    MAX_ENDPOINTS_PER_SOURCE,
    WAIT_LIMIT_S,
    UdpRegistration,
)
from tests.adapters.clock import FakeClock
from tests.adapters.egress import RecordingEgress

CLIENT = Endpoint("198.51.100.7", 7000)


class Desk:
    """A registration whose registrar takes ``cost_s`` per datagram."""

    def __init__(self, cost_s: float = 0.0) -> None:
        self.clock = FakeClock()
        self.cost_s = cost_s
        self.seen: list[tuple[Endpoint, bytes]] = []
        self.counters = TunnelCounters()
        self.queue = UdpRegistration(
            register=self._register,
            egress_to=RecordingEgress,
            clock=self.clock,
            counters=self.counters,
        )

    def _register(self, message: bytes, egress: PeerEgress) -> None:
        self.clock.advance(self.cost_s)
        self.seen.append((egress.endpoint, message))

    def submit(self, source: Endpoint, message: bytes = b"\x01" + bytes(129)) -> None:
        packet = DatagramBuffer(1536)
        packet.data[: len(message)] = message
        packet.length = packet.segment_bytes = len(message)
        packet.endpoint = source
        self.queue.submit([packet])

    def served(self) -> list[Endpoint]:
        while self.queue.pending:
            self.queue.work()
        return [endpoint for endpoint, _message in self.seen]


def test_one_endpoint_has_a_bounded_number_of_datagrams_waiting() -> None:
    desk = Desk()
    for _ in range(100):
        desk.submit(CLIENT)
    assert len(desk.served()) == MAX_DATAGRAMS_PER_ENDPOINT
    assert desk.counters.handshakes_dropped == 100 - MAX_DATAGRAMS_PER_ENDPOINT


@pytest.mark.parametrize("host", ["203.0.113.66", "2001:db8::{:x}"])
def test_one_source_cannot_hold_all_places(host: str) -> None:
    desk = Desk()
    for port in range(1, 5 * MAX_ENDPOINTS):
        desk.submit(Endpoint(host.format(port), port))
    desk.submit(CLIENT)
    served = desk.served()
    assert len(served) == MAX_ENDPOINTS_PER_SOURCE + 1
    assert CLIENT in served


def test_a_full_table_makes_room_for_a_newcomer() -> None:
    desk = Desk()
    flood = [Endpoint(f"10.{n >> 8}.{n & 255}.1", 5) for n in range(3 * MAX_ENDPOINTS)]
    for endpoint in flood:
        desk.submit(endpoint)
    desk.submit(CLIENT)
    served = desk.served()
    assert len(served) == MAX_ENDPOINTS
    assert served[-1] == CLIENT


def test_endpoints_take_turns() -> None:
    desk = Desk()
    for _ in range(3):
        desk.submit(Endpoint("203.0.113.66", 1))
    desk.submit(CLIENT)
    assert desk.served().index(CLIENT) == 1


def test_a_dose_ends_when_its_time_is_over() -> None:
    desk = Desk(cost_s=DOSE_S / 4)
    for port in range(1, 13):
        desk.submit(Endpoint("203.0.113.66", port))
    desk.queue.work()
    assert len(desk.seen) == 4
    assert desk.queue.pending


def test_who_waited_too_long_is_given_up() -> None:
    desk = Desk()
    desk.submit(CLIENT)
    desk.clock.advance(WAIT_LIMIT_S + 1)
    desk.submit(Endpoint("203.0.113.9", 1))
    assert desk.served() == [Endpoint("203.0.113.9", 1)]
    assert desk.counters.handshakes_dropped == 1


def test_a_served_source_may_come_again() -> None:
    desk = Desk()
    for _ in range(3):
        for port in range(1, MAX_ENDPOINTS_PER_SOURCE + 1):
            desk.submit(Endpoint("203.0.113.66", port))
        desk.served()
    assert len(desk.seen) == 3 * MAX_ENDPOINTS_PER_SOURCE
    assert desk.counters.handshakes_dropped == 0


@pytest.mark.parametrize(
    "message", [b"", b"\x01" + bytes(111), b"\x01" + bytes(385), b"\x00" + bytes(129), b"\x02" + bytes(129)]
)
def test_what_cannot_be_a_first_message_takes_no_place(message: bytes) -> None:
    desk = Desk()
    desk.submit(CLIENT, message)
    assert not desk.queue.pending
    assert desk.counters.handshakes_dropped == 1
