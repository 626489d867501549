"""What every StreamListener and StreamConnection must do."""

from collections.abc import Iterator

import pytest

from application.network.connection.transport import TransportError
from application.network.stream.listener import StreamBindError, StreamConnection
from domain.session.framing import framed
from tests.contracts.stream_worlds import (
    STREAM_WORLDS,
    StreamWorld,
    accepted,
    frames_of,
    polled,
    stream_world_name,
)

BATCH = [framed(bytes([number]) * 1500) for number in range(64)]


@pytest.fixture(params=STREAM_WORLDS, ids=stream_world_name)
def world(request: pytest.FixtureRequest) -> Iterator[StreamWorld]:
    made: StreamWorld = request.param()
    with made:
        yield made


def test_a_listener_knows_the_port_that_it_was_given(world: StreamWorld) -> None:
    first, second = world.listener(), world.listener()
    assert first.local_endpoint.port > 0
    assert first.local_endpoint != second.local_endpoint


def test_a_port_in_use_is_refused_and_named(world: StreamWorld) -> None:
    taken = world.listener().local_endpoint
    with pytest.raises(StreamBindError, match="another program uses the port") as refusal:
        world.bind(taken)
    assert str(taken) in str(refusal.value)


def test_a_closed_listener_frees_its_port(world: StreamWorld) -> None:
    first = world.listener()
    client, _ = accepted(world, first)
    first.close()
    assert world.bind(first.local_endpoint).local_endpoint == first.local_endpoint
    client.close()


def test_a_connection_is_returned_before_it_has_sent_anything(world: StreamWorld) -> None:
    listener = world.listener()
    client = world.client(listener)
    (connection,) = polled(world, listener)
    assert connection.endpoint == client.endpoint
    assert list(connection.read_frames()) == []


def test_polling_when_nothing_happens_is_no_error(world: StreamWorld) -> None:
    listener = world.listener()
    assert list(listener.poll()) == []
    accepted(world, listener)
    assert list(listener.poll()) == []


def test_frames_arrive_in_order_without_their_lengths(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    client.send(framed(b"1") + framed(b"22") + framed(bytes(1518)))
    assert frames_of(world, listener, connection, 3) == [b"1", b"22", bytes(1518)]


def test_a_frame_is_awaited_to_its_last_byte(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    wire = framed(b"in pieces") + framed(b"next")
    for cut in range(1, len(wire)):
        client.send(wire[:cut])
        world.await_readable(listener.fileno())
        first = frames_of(world, listener, connection, 0)
        listener.poll()
        first += map(bytes, connection.read_frames())
        client.send(wire[cut:])
        rest = frames_of(world, listener, connection, 2 - len(first))
        assert first + rest == [b"in pieces", b"next"], cut


def test_connections_do_not_mix(world: StreamWorld) -> None:
    listener = world.listener()
    first_client, first = accepted(world, listener)
    second_client, second = accepted(world, listener)
    first_client.send(framed(b"first")[:4])
    second_client.send(framed(b"second"))
    assert frames_of(world, listener, second, 1) == [b"second"]
    first_client.send(framed(b"first")[4:])
    assert frames_of(world, listener, first, 1) == [b"first"]


def test_every_connection_with_something_to_read_is_returned(world: StreamWorld) -> None:
    listener = world.listener()
    pairs = [accepted(world, listener) for _ in range(5)]
    for client, _ in pairs:
        client.send(framed(b"something"))
    waiting: set[StreamConnection] = {connection for _, connection in pairs}
    while waiting:
        ready = polled(world, listener)
        assert ready
        for connection in ready:
            connection.read_frames()
        waiting.difference_update(ready)


def test_the_egress_sends_frames_in_order(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    egress = connection.egress()
    assert egress.endpoint == client.endpoint
    assert egress.has_room
    assert egress.send_batch([b"1", bytearray(b"2"), memoryview(b"345")[:2]]) == 3
    assert egress.send_batch([]) == 0
    egress.send_message(b"a message")
    assert client.receive(15) == b"1234" + framed(b"a message")
    assert connection.egress() is egress


def test_the_caller_may_reuse_its_buffer_at_once(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    client.stall(stalled=True)
    egress = connection.egress()
    batches = 0
    while egress.has_room:
        egress.send_batch(BATCH)
        batches += 1
    buffer = bytearray(b"first")
    egress.send_batch([buffer])
    buffer[:] = b"other"
    client.stall(stalled=False)
    for _ in range(batches):
        client.receive(len(BATCH) * len(BATCH[0]))
        listener.poll()
    assert client.receive(5) == b"first"


def test_a_peer_that_closes_is_over(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    client.send(framed(b"the last"))
    assert frames_of(world, listener, connection, 1) == [b"the last"]
    client.close()
    assert polled(world, listener) == [connection]
    with pytest.raises(TransportError, match=r"^the peer closed the connection$"):
        connection.read_frames()
    connection.close()


def test_a_peer_that_closes_in_the_middle_of_a_frame_is_told_apart(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    client.send(framed(b"cut off")[:-1])
    assert polled(world, listener) == [connection]
    assert list(connection.read_frames()) == []
    client.close()
    assert polled(world, listener) == [connection]
    with pytest.raises(TransportError, match=r"^the peer closed the connection in the middle of a frame$"):
        connection.read_frames()


def test_a_peer_that_resets_is_over(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    client.reset()
    assert polled(world, listener) == [connection]
    with pytest.raises(TransportError, match=r"^the peer reset the connection$"):
        connection.read_frames()


@pytest.mark.parametrize("length", [0, 1519, 65535])
def test_an_impossible_length_ends_the_connection_and_no_other(world: StreamWorld, length: int) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    other_client, other = accepted(world, listener)
    client.send(length.to_bytes(2) + b"whatever")
    assert polled(world, listener) == [connection]
    for _ in range(2):
        with pytest.raises(TransportError, match=rf"claims {length} bytes"):
            connection.read_frames()
    connection.close()
    other_client.send(framed(b"still here"))
    assert frames_of(world, listener, other, 1) == [b"still here"]


def test_a_peer_that_does_not_read_uses_up_its_own_room_and_nobody_elses(world: StreamWorld) -> None:
    listener = world.listener()
    slow_client, slow = accepted(world, listener)
    client, connection = accepted(world, listener)
    slow_client.stall(stalled=True)
    batches = 0
    while slow.egress().has_room:
        assert slow.egress().send_batch(BATCH) == len(BATCH)
        batches += 1
        assert batches < 1000, "room without end"
    assert connection.egress().has_room
    connection.egress().send_batch([b"quick"])
    assert client.receive(5) == b"quick"

    slow_client.stall(stalled=False)
    for _ in range(batches):
        assert slow_client.receive(len(BATCH) * len(BATCH[0])) == b"".join(BATCH)
        listener.poll()
    assert slow.egress().has_room
    assert list(listener.poll()) == []


def test_a_peer_that_asks_and_never_reads_is_cut_off(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    client.stall(stalled=True)
    while connection.egress().send_batch(BATCH):
        pass
    assert not connection.egress().has_room
    assert polled(world, listener) == [connection]
    with pytest.raises(TransportError, match=r"^the peer does not read what it is sent$"):
        connection.read_frames()
    connection.close()
    assert list(listener.poll()) == []


def test_closing_ends_the_stream_behind_what_was_sent(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    connection.egress().send_batch([b"goodbye"])
    connection.close()
    connection.close()
    assert client.receive(100) == b"goodbye"


def test_a_closed_connection_neither_sends_nor_receives(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    client.send(framed(b"on its way"))
    connection.egress().close()
    assert connection.egress().send_batch([b"late"]) == 0
    assert not connection.egress().has_room
    with pytest.raises(TransportError, match="closed"):
        connection.read_frames()
    assert connection not in listener.poll()


def test_closing_the_listener_closes_every_connection(world: StreamWorld) -> None:
    listener = world.listener()
    client, connection = accepted(world, listener)
    listener.close()
    listener.close()
    assert listener.fileno() == -1
    assert client.receive(1) == b""
    with pytest.raises(TransportError, match="closed"):
        connection.read_frames()
    with pytest.raises(TransportError, match="closed"):
        listener.poll()
    connection.close()
