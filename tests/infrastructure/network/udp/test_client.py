"""Dialling and waiting: what only the real adapter shows; the contract has its own suite."""

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack

import pytest
import uvloop

from application.network.connection.transport import (
    DialError,
    DialForbiddenError,
    TransportError,
)
from application.network.routing.counters import TunnelCounters
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import endpoint_of
from infrastructure.network.sockets import SocketFactory
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.client import UdpClientTransport, UdpDialer
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.network.udp.offload import ONE_BY_ONE, WHERE_POSSIBLE, UdpOffload
from infrastructure.network.udp.sockets import open_datagram_socket
from tests.adapters.faulty_socket import FaultySocket
from tests.adapters.runs import frames_from

PACKETS = DatagramBuffer.allocate(150, 64)


def dialer(
    *,
    mark: int | None = None,
    offload: UdpOffload = WHERE_POSSIBLE,
    open_socket: SocketFactory = open_datagram_socket,
) -> UdpDialer:
    return UdpDialer(
        packets=PACKETS, counters=TunnelCounters(), mark=mark, offload=offload, open_socket=open_socket
    )


def test_a_host_without_a_route_is_a_dial_error_with_advice_and_no_open_socket() -> None:
    opened: list[socket.socket] = []

    def open_routeless(family: int) -> socket.socket:
        made = FaultySocket(family)
        made.connect_faults.append(errno.ENETUNREACH)
        opened.append(made)
        return made

    with pytest.raises(DialError, match=r"192\.0\.2\.1:7: there is no route to it"):
        asyncio.run(dialer(open_socket=open_routeless).dial(Endpoint("192.0.2.1", 7)))
    assert opened[0].fileno() == -1


def test_a_mark_without_the_right_to_set_it_is_a_dial_error() -> None:
    marking = dialer(
        mark=0x7467, open_socket=lambda family: FaultySocket(family, frozenset({socket.SO_MARK}))
    )
    with pytest.raises(DialForbiddenError, match="the firewall mark 29799 needs CAP_NET_ADMIN; run as root"):
        asyncio.run(marking.dial(Endpoint("127.0.0.1", 7)))


def over_loopback(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, timeout=10))


async def open_path(
    *, offload: UdpOffload = WHERE_POSSIBLE
) -> tuple[BoundUdpListener, UdpClientTransport, Endpoint]:
    listener = BoundUdpListener.bind("127.0.0.1", 0)
    transport = await dialer(offload=offload).dial(listener.local_endpoint)
    await transport.send_message(b"hello")
    packet = DatagramBuffer(64)
    assert listener.read_from(packet)
    return listener, transport, packet.endpoint


def test_a_message_longer_than_any_handshake_is_passed_over() -> None:
    async def scenario() -> None:
        listener, transport, client = await open_path()
        listener.batch_egress().send_batch([bytes(2049), b"a message"], client)
        assert await transport.receive_message() == b"a message"
        transport.close()
        listener.close()

    over_loopback(scenario())


def test_a_wait_that_is_over_leaves_no_reader_behind() -> None:
    async def scenario() -> None:
        listener, transport, client = await open_path()
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(transport.receive_message())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not loop.remove_reader(transport.fileno())
        listener.write_to(b"a message", client)
        assert await transport.receive_message() == b"a message"
        assert not loop.remove_reader(transport.fileno())
        transport.close()
        listener.close()

    over_loopback(scenario())


@pytest.mark.parametrize("offload", [ONE_BY_ONE, WHERE_POSSIBLE])
def test_closing_during_a_wait_leaves_the_next_owner_of_the_descriptor_alone(*, offload: UdpOffload) -> None:
    async def scenario() -> None:
        listener, transport, _ = await open_path(offload=offload)
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(transport.receive_message())
        await asyncio.sleep(0)
        number = transport.fileno()
        transport.close()
        with ExitStack() as opened:
            successor = opened.enter_context(open_datagram_socket(socket.AF_INET))
            while successor.fileno() < number:  # the kernel gives out the lowest free number
                successor = opened.enter_context(open_datagram_socket(socket.AF_INET))
            assert successor.fileno() == number
            successor.bind(("127.0.0.1", 0))
            readable = asyncio.Event()
            loop.add_reader(successor, readable.set)
            with pytest.raises(TransportError, match="closed"):
                await waiting
            listener.write_to(b"for the successor", endpoint_of(successor.getsockname()))
            await readable.wait()
            loop.remove_reader(successor)
        listener.close()

    over_loopback(scenario())


def test_messages_that_the_kernel_joined_are_received_without_further_traffic() -> None:
    async def scenario() -> None:
        listener, transport, client = await open_path()
        sent = [b"%03d" % number for number in range(150)]
        listener.batch_egress().send_batch(sent, client)
        assert [await transport.receive_message() for _ in sent[:3]] == sent[:3]
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(transport.fileno(), readable.set)
        await readable.wait()
        loop.remove_reader(transport.fileno())
        assert [bytes(frame) for frame in frames_from(transport.ingress())] == sent[3:]
        transport.close()
        listener.close()

    over_loopback(scenario())


def test_a_message_that_cannot_be_sent_is_a_transport_error() -> None:
    async def scenario() -> None:
        listener, transport, _ = await open_path()
        with pytest.raises(TransportError, match=str(listener.local_endpoint)):
            await transport.send_message(bytes(70_000))
        transport.close()
        listener.close()

    over_loopback(scenario())


@pytest.mark.parametrize("offload", [ONE_BY_ONE, WHERE_POSSIBLE])
def test_what_nobody_takes_is_news_whether_a_read_or_a_send_meets_it(*, offload: UdpOffload) -> None:
    async def scenario() -> None:
        listener, transport, _ = await open_path(offload=offload)
        ingress, egress = transport.ingress(), transport.egress()
        listener.close()
        # On loopback each datagram is refused before the call returns, and the next call is told of it.
        assert egress.send_batch([b"1"]) == 1
        assert list(frames_from(ingress)) == []
        assert transport.take_refusal() == "the server's host says that nobody listens on its port"
        assert egress.send_batch([b"1", b"22"]) == 2
        assert transport.take_refusal() == "the server's host says that nobody listens on its port"
        assert transport.take_refusal() is None
        transport.close()

    over_loopback(scenario())


@pytest.mark.parametrize("offload", [ONE_BY_ONE, WHERE_POSSIBLE])
def test_a_refused_path_still_leads_to_whoever_has_the_port_next(*, offload: UdpOffload) -> None:
    async def scenario() -> None:
        listener, transport, client = await open_path(offload=offload)
        ingress = transport.ingress()
        endpoint = listener.local_endpoint
        listener.close()
        transport.egress().send_batch([b"anybody?"])
        successor = BoundUdpListener.bind(endpoint.host, endpoint.port)
        successor.write_to(b"yes", client)
        assert list(frames_from(ingress)) == [b"yes"]
        assert transport.take_refusal() is not None
        assert transport.egress().send_batch([b"hello"]) == 1
        assert successor.read_from(DatagramBuffer(64))
        transport.close()
        successor.close()

    over_loopback(scenario())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_loop_stops_watching_a_path_that_was_refused(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        listener, transport, client = await open_path()
        ingress, endpoint = transport.ingress(), listener.local_endpoint
        frames: asyncio.Queue[bytes] = asyncio.Queue()
        is_refused = asyncio.Event()

        def on_readable() -> None:
            for frame in frames_from(ingress):
                frames.put_nowait(bytes(frame))
            if transport.take_refusal() is not None:
                is_refused.set()

        loop = asyncio.get_running_loop()
        loop.add_reader(transport.fileno(), on_readable)
        listener.close()
        transport.egress().send_batch([b"anybody?"])
        await is_refused.wait()
        successor = BoundUdpListener.bind(endpoint.host, endpoint.port)
        successor.write_to(b"yes", client)
        assert await frames.get() == b"yes"
        loop.remove_reader(transport.fileno())
        transport.close()
        successor.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), timeout=10))


def test_in_a_handshake_whatever_the_network_says_is_the_end() -> None:
    async def scenario() -> None:
        listener = BoundUdpListener.bind("127.0.0.1", 0)
        [made] = sockets = [FaultySocket(socket.AF_INET)]
        path = await dialer(open_socket=lambda _family: sockets.pop()).dial(listener.local_endpoint)
        await path.send_message(b"hello")
        packet = DatagramBuffer(64)
        assert listener.read_from(packet)
        made.receive_faults.append(errno.EHOSTUNREACH)
        listener.write_to(b"a message", packet.endpoint)
        with pytest.raises(TransportError, match=f"{listener.local_endpoint} failed: No route to host"):
            await path.receive_message()
        path.close()
        listener.close()

    over_loopback(scenario())


def test_in_a_session_it_is_news_for_whoever_asks() -> None:
    async def scenario() -> None:
        listener = BoundUdpListener.bind("127.0.0.1", 0)
        [made] = sockets = [FaultySocket(socket.AF_INET)]
        path = await dialer(open_socket=lambda _family: sockets.pop()).dial(listener.local_endpoint)
        made.receive_faults.append(errno.EHOSTUNREACH)
        assert list(frames_from(path.ingress())) == []
        assert path.take_refusal() == "the network says that the server cannot be reached: No route to host"
        path.close()
        listener.close()

    over_loopback(scenario())
