"""One connection, with and without layers: how it reads, writes and ends."""

import errno
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from application.network.connection.transport import TransportError
from domain.addressing.endpoint import Endpoint
from domain.session.framing import framed
from infrastructure.network.stream import connection as module
from infrastructure.network.stream.codec import Codec
from infrastructure.network.stream.connection import (
    HARD_LIMIT_BYTES,
    RECEIVE_BUFFER_BYTES,
    SOFT_LIMIT_BYTES,
    Connection,
)
from tests.infrastructure.network.stream.records import (
    BYE,
    DATA,
    HELLO,
    REFUSAL,
    RecordCodec,
    connected_sockets,
    record,
)

HERE = Endpoint("192.0.2.7", 4711)


class RecordingAttendant:
    """Remembers who wants room and who was recalled."""

    def __init__(self) -> None:
        self.wanting: set[int] = set()
        self.recalled: list[Connection] = []

    def want_room(self, descriptor: int, *, wanted: bool) -> None:
        assert (descriptor in self.wanting) != wanted, "told twice"
        self.wanting ^= {descriptor}

    def recall(self, owner: Connection) -> None:
        self.recalled.append(owner)


class Bed:
    """Makes connections; ``far`` is the other end of the last one, ``released`` those that were closed."""

    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened
        self._buffer = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
        self.attendant = RecordingAttendant()
        self.released: list[Connection] = []
        self.far: socket.socket

    def connection(self, codecs: Sequence[Codec] = ()) -> Connection:
        near, self.far = self._opened.enter_context(connected_sockets())
        made = Connection(
            near,
            HERE,
            codecs,
            buffer=self._buffer,
            attendant=self.attendant,
            release=self.released.append,
        )
        made.start()
        return made

    def fill(self, connection: Connection, above_bytes: int) -> None:
        """Write until more than ``above_bytes`` wait."""
        while connection._outbox.waiting_bytes <= above_bytes and connection.over is None:
            connection.write(bytes(10_000))


@pytest.fixture
def bed() -> Iterator[Bed]:
    with ExitStack() as opened:
        yield Bed(opened)


def read(connection: Connection) -> list[bytes]:
    """What one read gives, when something has come."""
    select.select([connection.stream_socket], [], [], 2)
    return [bytes(frame) for frame in connection.read_frames()]


def drain(far: socket.socket) -> bytes:
    """Everything up to the end of the stream."""
    received = bytearray()
    while data := far.recv(1 << 20):
        received += data
    return bytes(received)


def can_send(connection: Connection) -> tuple[bool, bool]:
    """Whether it is open, and whether it has room."""
    return connection.is_open, connection.has_room


def test_many_frames_come_out_of_one_read(bed: Bed) -> None:
    connection = bed.connection()
    sent = [bytes([number]) * (number + 1) for number in range(100)]
    bed.far.sendall(b"".join(map(framed, sent)))
    assert read(connection) == sent
    assert list(connection.read_frames()) == []


def test_frames_are_views_of_the_shared_buffer(bed: Bed) -> None:
    connection = bed.connection()
    bed.far.sendall(framed(b"in place"))
    select.select([connection.stream_socket], [], [], 2)
    (frame,) = connection.read_frames()
    assert isinstance(frame, memoryview)
    assert frame.obj is bed._buffer.obj


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_cut_at_any_byte_makes_no_difference(bed: Bed, layers: int) -> None:
    frames = [b"1", b"22", b"a longer one", b"x" * 20]
    wire = b"".join(map(framed, frames))
    for _ in range(layers):
        wire = record(HELLO, b"") + record(DATA, wire)
    for cut in range(1, len(wire)):
        connection = bed.connection([RecordCodec(server=True) for _ in range(layers)])
        bed.far.sendall(wire[:cut])
        received = read(connection)
        bed.far.sendall(wire[cut:])
        assert received + read(connection) == frames, cut
        connection.stream_socket.close()
        bed.far.close()


def test_one_byte_at_a_time(bed: Bed) -> None:
    connection = bed.connection()
    received: list[bytes] = []
    for byte in framed(b"slowly") + framed(b"but surely"):
        bed.far.send(bytes([byte]))
        received += read(connection)
    assert received == [b"slowly", b"but surely"]


def test_two_connections_share_a_buffer_and_keep_their_beginnings_apart(bed: Bed) -> None:
    first = bed.connection()
    first_far = bed.far
    second = bed.connection()
    first_far.sendall(framed(b"first")[:5])
    bed.far.sendall(framed(b"second")[:5])
    assert read(first) == read(second) == []
    first_far.sendall(framed(b"first")[5:])
    bed.far.sendall(framed(b"second")[5:])
    assert read(first) == [b"first"]
    assert read(second) == [b"second"]


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("length", [0, 1519, 65535])
def test_an_impossible_length_ends_it(bed: Bed, length: int, layers: int) -> None:
    connection = bed.connection([RecordCodec(server=True) for _ in range(layers)])
    wire = framed(b"lost with it") + length.to_bytes(2)
    bed.far.sendall(record(HELLO, b"") + record(DATA, wire) if layers else wire)
    with pytest.raises(TransportError, match=rf"^a frame claims {length} bytes; 1 to 1518 are allowed$"):
        read(connection)
    assert not connection.write(b"late")


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.ECONNRESET, "the peer reset the connection"),
        (errno.EPIPE, "the peer reset the connection"),
        (errno.ETIMEDOUT, "the peer no longer answers"),
        (errno.EHOSTUNREACH, "there is no route to it; check that the network is up"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failed_read_ends_it_with_a_reason(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    connection = bed.connection()

    def fail(_place: memoryview) -> int:
        raise OSError(number, "Input/output error")

    monkeypatch.setattr(connection, "stream_socket", type("Broken", (), {"recv_into": staticmethod(fail)}))
    for _ in range(2):
        with pytest.raises(TransportError) as failure:
            connection.read_frames()
        assert str(failure.value) == why
    assert connection.peer_is_gone


def test_a_failed_write_is_raised_by_the_next_read(bed: Bed) -> None:
    connection = bed.connection()
    bed.fill(connection, 0)
    bed.far.close()
    select.select([connection.stream_socket], [], [], 2)
    connection.flush()
    assert bed.attendant.recalled == [connection]
    assert not connection.has_room
    assert not connection.write(b"late")
    with pytest.raises(TransportError, match=r"^the peer reset the connection$"):
        connection.read_frames()


def test_room_is_wanted_while_something_waits(bed: Bed) -> None:
    connection = bed.connection()
    connection.write(b"goes at once")
    assert not bed.attendant.wanting
    bed.fill(connection, 0)
    connection.write(b"more")
    assert bed.attendant.wanting == {connection.stream_socket.fileno()}
    while connection._outbox.waiting_bytes:
        bed.far.recv(1 << 20)
        connection.flush()
    assert not bed.attendant.wanting


def test_there_is_room_up_to_the_soft_limit(bed: Bed) -> None:
    connection = bed.connection()
    bed.fill(connection, SOFT_LIMIT_BYTES - 10_000)
    assert can_send(connection) == (True, True)
    bed.fill(connection, SOFT_LIMIT_BYTES)
    assert can_send(connection) == (True, False)
    assert connection.write(b"an answer all the same")


def test_at_the_hard_limit_the_peer_is_cut_off(bed: Bed) -> None:
    connection = bed.connection()
    bed.fill(connection, HARD_LIMIT_BYTES - 10_000)
    assert connection.over is None
    bed.fill(connection, HARD_LIMIT_BYTES)
    assert bed.attendant.recalled == [connection]
    with pytest.raises(TransportError, match=r"^the peer does not read what it is sent$"):
        connection.read_frames()
    connection.close()
    connection.stream_socket.close()
    with pytest.raises(ConnectionResetError):
        drain(bed.far)


def test_a_closed_connection_is_handed_back_once(bed: Bed) -> None:
    connection = bed.connection()
    connection.close()
    connection.close()
    assert bed.released == [connection]
    assert not connection.peer_is_gone
    with pytest.raises(TransportError, match=r"^the connection is closed$"):
        connection.read_frames()


def test_closing_sends_what_waits_as_far_as_there_is_room(bed: Bed) -> None:
    connection = bed.connection()
    bed.fill(connection, 0)
    while bed.attendant.wanting:  # all of it is in the kernel now, or on its way
        bed.far.recv(1 << 20)
        connection.flush()
    connection.write(b"the end")
    connection.close()
    connection.stream_socket.close()
    assert drain(bed.far).endswith(b"the end")


class TestLayers:
    """What a codec adds."""

    def test_a_clients_layer_speaks_first(self, bed: Bed) -> None:
        connection = bed.connection([RecordCodec()])
        assert bed.far.recv(64) == record(HELLO, b"")
        assert can_send(connection) == (False, True)
        assert not connection.write(b"too early")
        bed.far.sendall(record(HELLO, b"") + record(DATA, framed(b"welcome")))
        assert read(connection) == [b"welcome"]
        assert can_send(connection) == (True, True)
        assert connection.write(b"in a record")
        assert bed.far.recv(64) == record(DATA, b"in a record")

    def test_a_servers_layer_answers_in_a_read(self, bed: Bed) -> None:
        connection = bed.connection([RecordCodec(server=True)])
        bed.far.sendall(record(HELLO, b""))
        assert read(connection) == []
        assert bed.far.recv(64) == record(HELLO, b"")

    def test_a_frame_may_begin_in_one_record_and_end_in_another(self, bed: Bed) -> None:
        connection = bed.connection([RecordCodec(server=True)])
        wire = framed(b"one frame") + framed(b"two")
        bed.far.sendall(record(HELLO, b"") + record(DATA, wire[:4]))
        assert read(connection) == []
        bed.far.sendall(record(DATA, wire[4:7]))
        assert read(connection) == []
        bed.far.sendall(record(DATA, wire[7:12]) + record(DATA, wire[12:]))
        assert read(connection) == [b"one frame", b"two"]

    def test_one_read_is_bounded(self, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "CODED_READ_BYTES", 10)
        connection = bed.connection([RecordCodec(server=True)])
        bed.far.sendall(record(HELLO, b"") + record(DATA, framed(b"1")) + record(DATA, framed(b"2")))
        assert read(connection) == [b"1"]
        assert read(connection) == [b"2"]

    def test_the_peers_goodbye_is_the_reason(self, bed: Bed) -> None:
        connection = bed.connection([RecordCodec(server=True)])
        bed.far.sendall(record(HELLO, b"") + record(BYE, b""))
        with pytest.raises(TransportError, match=r"^the peer said bye$"):
            read(connection)

    def test_a_last_answer_goes_out_before_the_end_is_raised(self, bed: Bed) -> None:
        connection = bed.connection([RecordCodec(server=True)])
        bed.far.sendall(record(0, b""))
        with pytest.raises(TransportError, match=r"^the peer sent a record of no known type$"):
            read(connection)
        assert bed.far.recv(64) == record(REFUSAL, b"")
        connection.close()
        assert bed.released == [connection]
        assert not connection.peer_is_gone

    def test_closing_says_goodbye(self, bed: Bed) -> None:
        connection = bed.connection([RecordCodec(server=True)])
        bed.far.sendall(record(HELLO, b""))
        read(connection)
        connection.close()
        connection.stream_socket.close()
        assert bed.far.recv(64) + bed.far.recv(64) == record(HELLO, b"") + record(BYE, b"")

    def test_nothing_is_said_to_a_peer_that_is_gone(self, bed: Bed) -> None:
        log: list[str] = []
        connection = bed.connection([RecordCodec(server=True, log=log)])
        bed.far.close()
        with pytest.raises(TransportError, match=r"^the peer closed the connection$"):
            read(connection)
        connection.close()
        assert log == ["start 0x55"]


class ProxiedCodec(RecordCodec):
    """A layer whose first payload is the client's host."""

    def __init__(self) -> None:
        super().__init__(server=True)
        self.host: str | None = None

    def client_endpoint(self, socket_endpoint: Endpoint) -> Endpoint:
        return socket_endpoint if self.host is None else socket_endpoint._replace(host=self.host)


def test_the_client_is_where_the_layers_say_and_that_is_final_when_all_are_open(bed: Bed) -> None:
    lower, upper = ProxiedCodec(), ProxiedCodec()
    connection = bed.connection([lower, upper])
    assert connection.endpoint == connection.egress().endpoint == HERE
    bed.far.sendall(record(HELLO, b""))
    read(connection)
    upper.host = "198.51.100.2"
    bed.far.sendall(record(DATA, record(HELLO, b"") + record(DATA, framed(b"frame"))))
    assert read(connection) == [b"frame"]
    assert connection.endpoint == connection.egress().endpoint == Endpoint("198.51.100.2", HERE.port)
    upper.host = "203.0.113.9"
    bed.far.sendall(record(DATA, record(DATA, framed(b"frame"))))
    read(connection)
    assert connection.endpoint.host == "198.51.100.2"


def test_the_layer_next_to_the_socket_is_believed_before_those_above_it(bed: Bed) -> None:
    lower, upper = ProxiedCodec(), ProxiedCodec()
    connection = bed.connection([lower, upper])
    lower.host = "198.51.100.1"
    upper.host = "203.0.113.9"
    bed.far.sendall(record(HELLO, b"") + record(DATA, record(HELLO, b"")))
    read(connection)
    assert connection.endpoint == connection.egress().endpoint == Endpoint("198.51.100.1", HERE.port)
