"""Binding, accepting and letting go: what only real sockets show; the contract has its own suite."""

import errno
import os
import resource
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from application.network.connection.transport import TransportError
from application.network.stream.listener import StreamBindError
from domain.addressing.endpoint import Endpoint
from domain.session.framing import framed
from infrastructure.network.addresses import endpoint_of
from infrastructure.network.stream import lingering as lingering_module
from infrastructure.network.stream import listener as module
from infrastructure.network.stream.codec import Codec
from infrastructure.network.stream.connection import Connection
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.stream.sockets import abort_on_close
from infrastructure.network.stream.stack import Codecs, no_codecs
from tests.adapters.faulty_socket import FaultySocket
from tests.contracts.udp_worlds import kernel_has_ipv6
from tests.infrastructure.network.stream.paths import descriptors
from tests.infrastructure.network.stream.records import DATA, HELLO, REFUSAL, RecordCodec, record

needs_ipv6 = pytest.mark.skipif(not kernel_has_ipv6(), reason="this kernel has no IPv6")


class Opener:
    """Opens sockets for a listener and remembers them; ``lacking`` families do not exist."""

    def __init__(self, lacking: int | None = None) -> None:
        self.opened: list[FaultySocket] = []
        self._lacking = lacking

    def __call__(self, family: int) -> socket.socket:
        if family == self._lacking:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        made = FaultySocket(family, kind=socket.SOCK_STREAM)
        self.opened.append(made)
        return made


class Bed:
    """A listener on the loopback interface and its clients; all of them closed at the end."""

    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened
        self.opener = Opener()
        self.listener = self.listen()

    def listen(self, codecs: Codecs = no_codecs) -> BoundStreamListener:
        """Another listener, from now on the one that is meant."""
        self.listener = BoundStreamListener.bind("127.0.0.1", 0, codecs=codecs, open_socket=self.opener)
        self._opened.callback(self.listener.close)
        return self.listener

    @property
    def listening_socket(self) -> FaultySocket:
        return self.opener.opened[-1]

    def client(self) -> socket.socket:
        client = self._opened.enter_context(socket.socket())
        client.settimeout(2)
        client.connect(("127.0.0.1", self.listener.local_endpoint.port))
        return client

    def connected(self) -> tuple[socket.socket, Connection]:
        client = self.client()
        (connection,) = self.polled()
        return client, connection

    def has_work(self, within_s: float = 0.0) -> bool:
        return bool(select.select([self.listener.fileno()], [], [], within_s)[0])

    def settle(self) -> None:
        """Poll until there is nothing more to do."""
        while self.has_work():
            self.listener.poll()

    def polled(self) -> list[Connection]:
        assert self.has_work(within_s=2)
        return list(self.listener.poll())


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bed(opened: ExitStack) -> Bed:
    return Bed(opened)


def with_records(_endpoint: Endpoint) -> Sequence[Codec]:
    return (RecordCodec(server=True),)


class TestBinding:
    """Where a server listens."""

    @needs_ipv6
    @pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
    def test_one_socket_hears_both_families(self, opened: ExitStack, family: int, host: str) -> None:
        listener = BoundStreamListener.bind(None, 0)
        opened.callback(listener.close)
        assert listener.local_endpoint.host == "::"
        client = opened.enter_context(socket.socket(family))
        client.connect((host, listener.local_endpoint.port))
        assert select.select([listener.fileno()], [], [], 2)[0]
        (connection,) = listener.poll()
        assert connection.endpoint == Endpoint(host, client.getsockname()[1])

    def test_without_ipv6_in_the_kernel_ipv4_is_served(self, opened: ExitStack) -> None:
        listener = BoundStreamListener.bind(None, 0, open_socket=Opener(lacking=socket.AF_INET6))
        opened.callback(listener.close)
        assert listener.local_endpoint.host == "0.0.0.0"

    @pytest.mark.parametrize(
        ("host", "port", "why"),
        [
            ("192.0.2.1", 9090, r"TCP 192\.0\.2\.1:9090: this host has no such address"),
            ("localhost", 9090, r"TCP 'localhost': it is not an IP address"),
            ("127.0.0.1", 65536, r"TCP 127\.0\.0\.1:65536: ports end at 65535"),
        ],
    )
    def test_a_refusal_has_advice_and_leaves_nothing_open(self, host: str, port: int, why: str) -> None:
        opener = Opener()
        with pytest.raises(StreamBindError, match=why):
            BoundStreamListener.bind(host, port, open_socket=opener)
        assert all(made.fileno() == -1 for made in opener.opened)

    def test_without_descriptors_to_spare_it_is_a_bind_error_and_nothing_stays_open(self) -> None:
        opener = Opener()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)

        def open_the_last(family: int) -> socket.socket:
            made = opener(family)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            return made

        try:
            with pytest.raises(StreamBindError, match=r"TCP 127\.0\.0\.1:\d+: Too many open files"):
                BoundStreamListener.bind("127.0.0.1", 0, open_socket=open_the_last)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert opener.opened[0].fileno() == -1

    def test_a_port_can_be_bound_again_while_old_connections_fade(self, bed: Bed) -> None:
        client, connection = bed.connected()
        connection.close()  # this end goes first, and keeps the port busy for a minute
        client.close()
        bed.listener.close()
        again = BoundStreamListener.bind("127.0.0.1", bed.listener.local_endpoint.port)
        again.close()

    def test_nothing_blocks_and_nothing_survives_exec_or_close(self) -> None:
        before = descriptors()
        opener = Opener()
        listener = BoundStreamListener.bind("127.0.0.1", 0, open_socket=opener)
        made = descriptors() - before
        assert opener.opened[0].fileno() in made
        assert not os.get_blocking(opener.opened[0].fileno())
        assert not any(os.get_inheritable(descriptor) for descriptor in made)
        listener.close()
        assert descriptors() == before


class TestAccepting:
    """Who comes in, and when."""

    def test_a_crowd_is_let_in_a_few_at_a_time(self, bed: Bed) -> None:
        clients = {endpoint_of(bed.client().getsockname()) for _ in range(module.ACCEPT_LIMIT + 3)}
        first = bed.polled()
        assert len(first) == module.ACCEPT_LIMIT
        second = bed.polled()
        assert {connection.endpoint for connection in first + second} == clients
        assert not bed.has_work()

    def test_an_accepted_socket_does_not_block_and_is_closed_on_exec(self, bed: Bed) -> None:
        _, connection = bed.connected()
        assert not os.get_blocking(connection.stream_socket.fileno())
        assert not os.get_inheritable(connection.stream_socket.fileno())

    @pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN])
    def test_who_is_gone_before_the_door_opens_does_not_matter(self, bed: Bed, number: int) -> None:
        bed.client()
        bed.listening_socket.accept_faults.extend([number, number])
        assert len(bed.polled()) == 1

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
    def test_without_room_knocks_wait_until_a_connection_closes(self, bed: Bed, number: int) -> None:
        client, connection = bed.connected()
        bed.client()
        bed.listening_socket.accept_faults.append(number)
        assert bed.polled() == []
        assert not bed.has_work()  # it does not spin
        client.send(framed(b"business as usual"))
        assert bed.polled() == [connection]
        connection.read_frames()
        client.close()
        assert bed.polled() == [connection]
        connection.close()
        assert len(bed.polled()) == 1

    def test_without_room_knocks_are_heard_again_after_a_while(
        self, bed: Bed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "ACCEPT_PAUSE_S", 0.02)
        bed.client()
        bed.listening_socket.accept_faults.append(errno.EMFILE)
        assert bed.polled() == []
        assert not bed.has_work()
        assert bed.polled() == []  # the alarm
        assert len(bed.polled()) == 1
        assert not bed.has_work()

    def test_the_limit_of_the_process_is_survived(self, bed: Bed) -> None:
        client, connection = bed.connected()
        bed.client()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            assert bed.listener.poll() == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not bed.has_work()
        abort_on_close(client)
        client.close()
        assert bed.polled() == [connection]
        connection.close()
        assert len(bed.polled()) == 1

    def test_a_listening_socket_that_fails_is_named(self, bed: Bed) -> None:
        bed.client()
        bed.listening_socket.accept_faults.append(errno.EIO)
        with pytest.raises(TransportError) as failure:
            bed.polled()
        assert str(failure.value) == f"the TCP socket on {bed.listener.local_endpoint} failed: made to fail"

    def test_a_closed_listener_that_was_full_stays_closed(self, bed: Bed) -> None:
        _, connection = bed.connected()
        bed.client()
        bed.listening_socket.accept_faults.append(errno.EMFILE)
        assert bed.polled() == []
        bed.listener.close()
        assert bed.listener.fileno() == -1
        connection.close()

    def test_the_layers_are_made_for_the_other_end(self, bed: Bed) -> None:
        asked: list[Endpoint] = []

        def codecs(endpoint: Endpoint) -> Sequence[Codec]:
            asked.append(endpoint)
            return (RecordCodec(server=True),)

        bed.listen(codecs)
        client, connection = bed.connected()
        assert asked == [endpoint_of(client.getsockname())]
        client.send(record(HELLO, b"") + record(DATA, framed(b"frame")))
        assert bed.polled() == [connection]
        assert list(connection.read_frames()) == [b"frame"]

    def test_layers_that_cannot_be_made_cost_one_connection(self, bed: Bed) -> None:
        failures = [OSError(errno.EACCES, "Permission denied")]

        def codecs(_endpoint: Endpoint) -> Sequence[Codec]:
            if failures:
                raise failures.pop()
            return ()

        bed.listen(codecs)
        unlucky, lucky = bed.client(), bed.client()
        (connection,) = bed.polled()
        assert connection.endpoint == endpoint_of(lucky.getsockname())
        assert unlucky.recv(1) == b""

    def test_a_mistake_in_a_layer_is_raised_and_the_connection_forgotten(self, bed: Bed) -> None:
        class Broken(RecordCodec):
            def start(self) -> None:
                raise ZeroDivisionError

        bed.listen(lambda _endpoint: (Broken(),))
        before = descriptors()
        client = bed.client()
        with pytest.raises(ZeroDivisionError):
            bed.polled()
        assert client.recv(1) == b""
        assert descriptors() == before | {client.fileno()}
        assert len(bed.listener._watch._owners) == 2  # the listening socket and the alarm
        assert not bed.has_work()


class TestServing:
    """Many connections behind one descriptor."""

    def test_who_has_been_served_comes_again_after_the_others(
        self, bed: Bed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "READY_LIMIT", 2)
        pairs = [bed.connected() for _ in range(5)]
        for client, _ in pairs:
            client.send(framed(b"never read"))
        served = [connection for _ in range(5) for connection in bed.polled()]
        assert [served.count(connection) for _, connection in pairs] == [2] * 5

    def test_a_slow_reader_leaves_the_descriptor_quiet(self, bed: Bed) -> None:
        client, connection = bed.connected()
        while connection.egress().has_room:
            connection.egress().send_batch([bytes(50_000)])
        assert not bed.has_work()
        client.recv(1 << 20)
        while not connection.egress().has_room:
            client.recv(1 << 20)
            assert bed.polled() == []

    def test_a_write_that_fails_in_a_poll_ends_the_connection_in_the_next(self, bed: Bed) -> None:
        client, connection = bed.connected()
        while connection.egress().has_room:
            connection.egress().send_batch([bytes(50_000)])
        abort_on_close(client)
        client.close()
        found: list[Connection] = []
        while not found:
            found = bed.polled()
        assert found == [connection]
        with pytest.raises(TransportError, match="reset"):
            connection.read_frames()

    def test_a_number_that_is_used_again_belongs_to_the_new_connection(self, bed: Bed) -> None:
        old_client, old = bed.connected()
        number = old.stream_socket.fileno()
        abort_on_close(old_client)
        old_client.close()
        assert bed.polled() == [old]
        with pytest.raises(TransportError):
            old.read_frames()
        old.close()
        new_client = bed.client()
        (new,) = bed.polled()
        assert new.stream_socket.fileno() == number  # the kernel gives out the lowest free one
        new_client.send(framed(b"new"))
        assert bed.polled() == [new]
        assert list(new.read_frames()) == [b"new"]
        assert old.egress().send_batch([b"old"]) == 0
        old.close()
        assert not bed.has_work()

    def test_a_thousand_connections_leave_nothing_behind(self, bed: Bed) -> None:
        before = descriptors()
        for _ in range(100):
            pairs = [bed.connected() for _ in range(10)]
            for client, connection in pairs:
                client.send(framed(b"hello"))
                connection.egress().send_batch([b"welcome"])
            for client, _ in pairs[:5]:
                client.close()
            for client, connection in pairs:
                connection.close()
                client.close()
        bed.settle()
        assert descriptors() == before


class TestLettingGo:
    """The last word, and then the end."""

    def test_a_refusal_arrives_although_the_peer_goes_on(self, bed: Bed) -> None:
        bed.listen(with_records)
        client, connection = bed.connected()
        client.send(record(0, b""))
        assert bed.polled() == [connection]
        with pytest.raises(TransportError):
            connection.read_frames()
        client.send(b"on and on")
        connection.close()
        client.send(b" and on")
        bed.polled()
        assert client.recv(64) == record(REFUSAL, b"")
        assert client.recv(64) == b""
        client.close()
        assert connection.stream_socket.fileno() >= 0
        bed.polled()
        assert connection.stream_socket.fileno() == -1
        assert not bed.has_work()

    def test_a_peer_that_does_not_close_is_waited_for_only_so_long(
        self, bed: Bed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lingering_module, "LINGER_S", 0.02)
        _, connection = bed.connected()
        connection.close()
        assert connection.stream_socket.fileno() >= 0
        assert not bed.has_work()
        bed.polled()
        assert connection.stream_socket.fileno() == -1
        assert not bed.has_work()

    def test_a_peer_that_has_closed_is_not_waited_for(self, bed: Bed) -> None:
        client, connection = bed.connected()
        client.close()
        bed.polled()
        with pytest.raises(TransportError):
            connection.read_frames()
        connection.close()
        assert connection.stream_socket.fileno() == -1

    def test_a_listener_that_closes_waits_for_nobody(self, bed: Bed) -> None:
        before = descriptors()
        pairs = [bed.connected() for _ in range(3)]
        pairs[0][1].close()
        bed.listener.close()
        for client, _ in pairs:
            client.close()
        assert descriptors() < before
        with pytest.raises(TransportError, match="closed"):
            bed.listener.poll()
