"""Dialling, waiting and sending: what only the real adapter shows; the contract has its own suite."""

import asyncio
import errno
import resource
import select
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, closing

import pytest
import uvloop

from application.network.connection.egress import Egress
from application.network.connection.transport import DialError, DialForbiddenError, TransportError
from domain.addressing.endpoint import Endpoint
from domain.session.framing import framed
from infrastructure.network.addresses import endpoint_of
from infrastructure.network.stream.client import StreamClientTransport, StreamDialer
from infrastructure.network.stream.codec import Codec
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.stream.sockets import open_stream_socket
from infrastructure.network.stream.stack import Codecs, no_codecs
from infrastructure.network.udp.sockets import open_datagram_socket
from tests.adapters.faulty_socket import FaultySocket
from tests.adapters.runs import frames_from
from tests.infrastructure.network.stream.paths import descriptors, open_path, polled
from tests.infrastructure.network.stream.records import HELLO, REFUSAL, RecordCodec, record

SOMEWHERE = Endpoint("192.0.2.1", 7)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    made: LoopFactory = request.param
    return made


def run(scenario: Coroutine[None, None, None], loop_factory: LoopFactory = asyncio.new_event_loop) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(scenario, timeout=10))


def loopback_listener(codecs: Codecs = no_codecs) -> BoundStreamListener:
    return BoundStreamListener.bind("127.0.0.1", 0, codecs=codecs)


def client_records(_endpoint: Endpoint) -> Sequence[Codec]:
    return (RecordCodec(0x11), RecordCodec(0x22))


def server_records(_endpoint: Endpoint) -> Sequence[Codec]:
    return (RecordCodec(0x11, server=True), RecordCodec(0x22, server=True))


def is_readable(transport: StreamClientTransport) -> bool:
    return bool(select.select([transport.fileno()], [], [], 0)[0])


def has_room(egress: Egress) -> bool:
    return egress.has_room


class TestDialling:
    """From an endpoint to an open path, or to a reason."""

    @pytest.mark.parametrize(
        ("number", "why"),
        [
            (errno.ECONNREFUSED, "nothing listens there"),
            (errno.ETIMEDOUT, "nobody answers there"),
            (errno.ENETUNREACH, "there is no route to it; check that the network is up"),
        ],
    )
    def test_a_refusal_has_a_reason_and_leaves_no_open_socket(self, number: int, why: str) -> None:
        made = FaultySocket(socket.AF_INET, kind=socket.SOCK_STREAM)
        made.connect_faults.append(number)
        with pytest.raises(DialError) as refusal:
            asyncio.run(StreamDialer(name="WSS", open_socket=lambda family: made).dial(SOMEWHERE))
        assert str(refusal.value) == f"cannot open a WSS path to 192.0.2.1:7: {why}"
        assert made.fileno() == -1

    def test_a_mark_without_the_right_to_set_it_is_final(self) -> None:
        made = FaultySocket(socket.AF_INET, frozenset({socket.SO_MARK}), kind=socket.SOCK_STREAM)
        dialer = StreamDialer(mark=0x7467, open_socket=lambda family: made)
        with pytest.raises(DialForbiddenError, match="the firewall mark 29799 needs CAP_NET_ADMIN; run as"):
            asyncio.run(dialer.dial(SOMEWHERE))
        assert made.fileno() == -1

    def test_a_port_where_nothing_listens_is_told(self, loop_factory: LoopFactory) -> None:
        async def scenario() -> None:
            listener = loopback_listener()
            listener.close()
            with pytest.raises(DialError, match=r"path to 127\.0\.0\.1:\d+: nothing listens there$"):
                await StreamDialer().dial(listener.local_endpoint)

        run(scenario(), loop_factory)

    def test_without_a_descriptor_to_spare_it_is_a_dial_error_and_no_open_socket(self) -> None:
        async def scenario() -> None:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            opened: list[socket.socket] = []

            def open_the_last(family: int) -> socket.socket:
                opened.append(open_stream_socket(family))
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
                return opened[0]

            with closing(loopback_listener()) as listener:
                try:
                    with pytest.raises(DialError, match="Too many open files"):
                        await StreamDialer(open_socket=open_the_last).dial(listener.local_endpoint)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert opened[0].fileno() == -1

        run(scenario())

    def test_a_dial_that_hangs_can_be_cancelled(self, loop_factory: LoopFactory) -> None:
        async def scenario() -> None:
            with ExitStack() as opened:
                listening = opened.enter_context(open_stream_socket(socket.AF_INET))
                listening.bind(("127.0.0.1", 0))
                listening.listen(0)
                # The one place in the queue is taken: the kernel does not answer the next.
                for _ in range(2):
                    filler = opened.enter_context(open_stream_socket(socket.AF_INET))
                    filler.setblocking(False)
                    filler.connect_ex(listening.getsockname())
                before = descriptors()
                dial = StreamDialer().dial(endpoint_of(listening.getsockname()))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(dial, timeout=0.05)
                assert descriptors() == before

        run(scenario(), loop_factory)

    def test_a_handshake_that_hangs_can_be_cancelled(self, loop_factory: LoopFactory) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                before = descriptors()
                dial = StreamDialer(codecs=client_records).dial(listener.local_endpoint)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(dial, timeout=0.05)
                assert descriptors() == before

        run(scenario(), loop_factory)

    def test_the_reason_of_a_failed_handshake_is_the_layers(self, loop_factory: LoopFactory) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                before = descriptors()
                dialling = asyncio.create_task(
                    StreamDialer(codecs=client_records).dial(listener.local_endpoint)
                )
                (connection,) = await polled(listener)
                connection.write(record(0, b""))
                with pytest.raises(DialError) as refusal:
                    await dialling
                assert str(refusal.value) == (
                    f"cannot open a TCP path to {listener.local_endpoint}: "
                    "the peer sent a record of no known type"
                )
                connection.stream_socket.setblocking(True)
                assert connection.stream_socket.recv(64) == record(HELLO, b"") + record(REFUSAL, b"")
                assert descriptors() == before | {connection.stream_socket.fileno()}

        run(scenario(), loop_factory)

    def test_a_server_that_hangs_up_during_the_handshake_is_told(self) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                dialling = asyncio.create_task(
                    StreamDialer(codecs=client_records).dial(listener.local_endpoint)
                )
                (connection,) = await polled(listener)
                connection.close()
                with pytest.raises(DialError, match="the peer closed the connection"):
                    await dialling

        run(scenario())

    def test_a_layer_that_cannot_begin_leaves_no_open_socket(self) -> None:
        class Broken(RecordCodec):
            def start(self) -> None:
                raise ZeroDivisionError

        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                before = descriptors()
                with pytest.raises(ZeroDivisionError):
                    await StreamDialer(codecs=lambda endpoint: (Broken(),)).dial(listener.local_endpoint)
                assert descriptors() == before

        run(scenario())


class TestPath:
    """One dialled path."""

    def test_frames_go_both_ways_through_every_layer(self, loop_factory: LoopFactory) -> None:
        async def scenario() -> None:
            with closing(loopback_listener(server_records)) as listener:
                transport, connection = await open_path(listener, client_records)
                await transport.send_message(b"message 1")
                assert await polled(listener) == [connection]
                assert list(connection.read_frames()) == [b"message 1"]
                connection.egress().send_message(b"message 2")
                connection.egress().send_batch([framed(b"frame 1"), framed(b"frame 2")])
                assert await transport.receive_message() == b"message 2"
                assert [bytes(frame) for frame in frames_from(transport.ingress())] == [
                    b"frame 1",
                    b"frame 2",
                ]
                transport.egress().send_batch([framed(b"answer")])
                assert await polled(listener) == [connection]
                assert list(connection.read_frames()) == [b"answer"]
                transport.close()

        run(scenario(), loop_factory)

    def test_frames_behind_a_message_make_the_descriptor_readable(self, loop_factory: LoopFactory) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                transport, connection = await open_path(listener)
                connection.write(b"".join(framed(b"%d" % number) for number in range(5)))
                assert await transport.receive_message() == b"0"
                assert await transport.receive_message() == b"1"
                assert is_readable(transport)
                readable = asyncio.Event()
                loop = asyncio.get_running_loop()
                loop.add_reader(transport.fileno(), readable.set)
                await readable.wait()
                assert list(frames_from(transport.ingress())) == [b"2", b"3", b"4"]
                await asyncio.sleep(0)  # it may have been seen readable twice
                readable.clear()
                await asyncio.sleep(0.01)
                assert not readable.is_set()
                loop.remove_reader(transport.fileno())
                transport.close()

        run(scenario(), loop_factory)

    def test_when_the_last_of_them_is_taken_the_descriptor_is_quiet(self) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                transport, connection = await open_path(listener)
                connection.write(framed(b"1") + framed(b"2"))
                assert await transport.receive_message() == b"1"
                assert is_readable(transport)
                assert await transport.receive_message() == b"2"
                assert not is_readable(transport)
                transport.close()

        run(scenario())

    def test_what_waits_for_room_goes_out_with_the_reading(self) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                transport, connection = await open_path(listener)
                egress = transport.egress()
                batch = [framed(bytes(1500))] * 64
                sent = received = 0
                while has_room(egress):
                    sent += egress.send_batch(batch)
                readable = asyncio.Event()
                loop = asyncio.get_running_loop()
                loop.add_reader(transport.fileno(), readable.set)
                await asyncio.sleep(0)
                assert not readable.is_set()
                while received < sent:
                    received += len(connection.read_frames())
                    if readable.is_set():
                        readable.clear()
                        assert list(frames_from(transport.ingress())) == []
                    await asyncio.sleep(0)
                assert has_room(egress)
                loop.remove_reader(transport.fileno())
                transport.close()

        run(scenario())

    def test_a_message_on_a_path_that_is_gone_names_the_server_and_the_reason(self) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                transport, connection = await open_path(listener)
                connection.close()
                with pytest.raises(TransportError) as failure:
                    await transport.receive_message()
                assert str(failure.value) == f"{listener.local_endpoint}: the peer closed the connection"
                with pytest.raises(TransportError) as failure:
                    await transport.send_message(b"late")
                assert str(failure.value) == (
                    f"cannot send to {listener.local_endpoint}: the peer closed the connection"
                )
                transport.close()

        run(scenario())

    def test_closing_says_goodbye(self) -> None:
        async def scenario() -> None:
            with closing(loopback_listener(server_records)) as listener:
                transport, connection = await open_path(listener, client_records)
                transport.close()
                assert await polled(listener) == [connection]
                with pytest.raises(TransportError, match="the peer said bye"):
                    connection.read_frames()

        run(scenario())

    def test_a_wait_that_is_over_leaves_no_reader_behind(self) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                transport, connection = await open_path(listener)
                loop = asyncio.get_running_loop()
                waiting = asyncio.create_task(transport.receive_message())
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                assert not loop.remove_reader(transport.fileno())
                connection.egress().send_message(b"a message")
                assert await transport.receive_message() == b"a message"
                assert not loop.remove_reader(transport.fileno())
                transport.close()

        run(scenario())

    def test_closing_during_a_wait_leaves_the_next_owner_of_the_descriptor_alone(
        self, loop_factory: LoopFactory
    ) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener, ExitStack() as opened:
                transport, _ = await open_path(listener)
                loop = asyncio.get_running_loop()
                waiting = asyncio.create_task(transport.receive_message())
                await asyncio.sleep(0)
                number = transport.fileno()
                transport.close()
                successor = opened.enter_context(open_datagram_socket(socket.AF_INET))
                while successor.fileno() < number:  # the kernel gives out the lowest free number
                    successor = opened.enter_context(open_datagram_socket(socket.AF_INET))
                assert successor.fileno() == number
                successor.bind(("127.0.0.1", 0))
                readable = asyncio.Event()
                loop.add_reader(number, readable.set)
                with pytest.raises(TransportError, match="closed"):
                    await waiting
                successor.sendto(b"for the successor", successor.getsockname())
                await readable.wait()
                loop.remove_reader(number)

        run(scenario(), loop_factory)

    def test_a_hundred_paths_leave_nothing_behind(self) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                before = descriptors()
                for _ in range(100):
                    transport, connection = await open_path(listener)
                    transport.close()
                    assert await polled(listener) == [connection]
                    with pytest.raises(TransportError):
                        connection.read_frames()
                    connection.close()
                assert descriptors() == before

        run(scenario())

    def test_ingress_and_egress_are_the_same_each_time(self) -> None:
        async def scenario() -> None:
            with closing(loopback_listener()) as listener:
                transport, _ = await open_path(listener)
                assert transport.ingress() is transport.ingress()
                assert transport.egress() is transport.egress()
                transport.close()

        run(scenario())
