"""What every way of strangers' datagrams to the registrar must do."""

from collections.abc import Callable

import pytest

from application.network.connection.egress import PeerEgress
from application.network.routing.counters import TunnelCounters
from application.network.udp.registration import Registration
from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.registration import Register, UdpRegistration
from tests.adapters.clock import FakeClock
from tests.adapters.egress import RecordingEgress
from tests.adapters.registration import ImmediateRegistration

HERE, THERE = Endpoint("198.51.100.7", 1000), Endpoint("2001:db8::7", 2000)


def immediate(register: Register) -> Registration:
    return ImmediateRegistration(register, RecordingEgress)


def queued(register: Register) -> Registration:
    return UdpRegistration(
        register=register, egress_to=RecordingEgress, clock=FakeClock(), counters=TunnelCounters()
    )


@pytest.fixture(params=[immediate, queued])
def make(request: pytest.FixtureRequest) -> Callable[[Register], Registration]:
    maker: Callable[[Register], Registration] = request.param
    return maker


def message(text: bytes) -> bytes:
    """Something as long as message 1, with its version byte."""
    return b"\x01" + text.ljust(128)


def packet(content: bytes, source: Endpoint) -> DatagramBuffer:
    filled = DatagramBuffer(1536)
    filled.data[: len(content)] = content
    filled.length = filled.segment_bytes = len(content)
    filled.endpoint = source
    return filled


def test_each_datagram_reaches_the_registrar_once_with_the_way_back(
    make: Callable[[Register], Registration],
) -> None:
    seen: list[tuple[bytes, Endpoint]] = []

    def register(message: bytes, egress: PeerEgress) -> None:
        seen.append((message, egress.endpoint))

    registration = make(register)
    registration.submit(
        [packet(message(b"one"), HERE), packet(message(b"two"), THERE), packet(message(b"three"), HERE)]
    )
    for _ in range(3):
        registration.work()
    assert sorted(seen) == sorted(
        [(message(b"one"), HERE), (message(b"two"), THERE), (message(b"three"), HERE)]
    )
    assert not registration.pending


def test_a_reused_buffer_does_not_change_what_was_submitted(make: Callable[[Register], Registration]) -> None:
    seen: list[bytes] = []
    registration = make(lambda message, _egress: seen.append(message))
    buffer = packet(message(b"before"), HERE)
    registration.submit([buffer])
    assert registration.pending
    buffer.data[1:7] = b"after!"
    registration.work()
    assert seen == [message(b"before")]


def test_nothing_is_pending_before_anything_came(make: Callable[[Register], Registration]) -> None:
    registration = make(lambda _message, _egress: None)
    assert not registration.pending
    registration.work()
