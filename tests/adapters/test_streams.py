"""The stream network in memory: what it can do to a connection. The contract suites try the rest."""

import asyncio

import pytest

from application.network.connection.transport import DialError, TransportError
from domain.addressing.endpoint import Endpoint
from domain.session.framing import framed
from tests.adapters.runs import frames_from
from tests.adapters.streams import (
    FakeStreamConnection,
    FakeStreamDialer,
    FakeStreamNetwork,
    FakeStreamTransport,
)

HERE = Endpoint("192.0.2.1", 8080)


@pytest.fixture
def network() -> FakeStreamNetwork:
    return FakeStreamNetwork()


def connected(network: FakeStreamNetwork) -> tuple[FakeStreamTransport, FakeStreamConnection]:
    """Both ends of a path."""
    listener = network.listen(HERE)
    transport = asyncio.run(FakeStreamDialer(network, "198.51.100.7").dial(HERE))
    (connection,) = listener.poll()
    return transport, connection


def test_a_cut_loses_what_is_on_its_way_at_both_ends(network: FakeStreamNetwork) -> None:
    transport, connection = connected(network)
    transport.egress().send_message(b"lost")
    connection.egress().send_message(b"lost")
    connection.cut()
    for read in (transport.read_runs, connection.read_frames):
        with pytest.raises(TransportError, match="the peer reset the connection"):
            read()


def test_a_stalled_end_reads_nothing_until_it_goes_on(network: FakeStreamNetwork) -> None:
    transport, connection = connected(network)
    transport.end.stalled = True
    connection.egress().send_batch([framed(b"1"), framed(b"2")])
    assert list(frames_from(transport)) == []
    transport.end.stalled = False
    assert list(frames_from(transport)) == [b"1", b"2"]


def test_raw_bytes_break_a_connection(network: FakeStreamNetwork) -> None:
    transport, connection = connected(network)
    transport.end.write(b"\0\0")
    with pytest.raises(TransportError, match="claims 0 bytes"):
        connection.read_frames()


def test_the_egress_goes_where_the_connection_is_said_to_come_from(network: FakeStreamNetwork) -> None:
    _, connection = connected(network)
    connection.endpoint = Endpoint("203.0.113.9", 1)
    assert connection.egress().endpoint == connection.endpoint


def test_a_host_without_a_route_cannot_be_dialled(network: FakeStreamNetwork) -> None:
    network.listen(HERE)
    network.unreachable_hosts.add(HERE.host)
    with pytest.raises(DialError, match="no route"):
        asyncio.run(FakeStreamDialer(network, "198.51.100.7").dial(HERE))


def test_a_silent_host_keeps_a_dialler_waiting(network: FakeStreamNetwork) -> None:
    network.silent_hosts.add(HERE.host)

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await FakeStreamDialer(network, "198.51.100.7").dial(HERE)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())


def test_a_listener_can_be_made_to_fail_once(network: FakeStreamNetwork) -> None:
    listener = network.listen(HERE)
    listener.failure = TransportError("the TCP socket failed")
    with pytest.raises(TransportError, match="the TCP socket failed"):
        listener.poll()
    assert list(listener.poll()) == []
