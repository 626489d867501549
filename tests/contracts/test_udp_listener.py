"""What every UdpListener must do."""

from collections.abc import Iterator

import pytest

from application.network.udp.listener import UdpBindError, UdpClosedError, UdpError
from application.network.udp.packet import PacketFlags
from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.buffers import DatagramBuffer
from tests.contracts.udp_worlds import UDP_WORLDS, UdpWorld, contents, received, world_name


@pytest.fixture(params=UDP_WORLDS, ids=world_name)
def world(request: pytest.FixtureRequest) -> Iterator[UdpWorld]:
    made: UdpWorld = request.param()
    with made:
        yield made


def test_a_listener_knows_the_port_that_it_was_given(world: UdpWorld) -> None:
    first, second = world.listener(), world.listener()
    assert first.local_endpoint.port > 0
    assert first.local_endpoint != second.local_endpoint


def test_a_port_in_use_is_refused_and_named(world: UdpWorld) -> None:
    taken = world.listener().local_endpoint
    with pytest.raises(UdpBindError, match="another program uses the port") as refusal:
        world.bind(taken)
    assert str(taken) in str(refusal.value)


def test_a_closed_listener_frees_its_port(world: UdpWorld) -> None:
    first = world.listener()
    first.close()
    assert world.bind(first.local_endpoint).local_endpoint == first.local_endpoint


def test_a_datagram_arrives_with_its_source(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    assert sender.write_to(b"hello", listener.local_endpoint)
    packet = DatagramBuffer(1536)
    assert world.await_arrival(listener.fileno())
    assert listener.read_from(packet)
    assert contents([packet]) == [b"hello"]
    assert packet.endpoint == sender.local_endpoint
    assert packet.flags == PacketFlags.NONE


def test_an_answer_to_the_source_comes_back(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    sender.write_to(b"hello", listener.local_endpoint)
    packet = DatagramBuffer(1536)
    world.await_arrival(listener.fileno())
    listener.read_from(packet)
    assert listener.write_to(packet.view[: packet.length], packet.endpoint)
    assert received(world, sender, 1) == [b"hello"]


def test_reading_when_nothing_is_there_is_no_error(world: UdpWorld) -> None:
    assert not world.listener().read_from(DatagramBuffer(1536))


def test_a_single_read_refuses_an_empty_buffer(world: UdpWorld) -> None:
    packet = DatagramBuffer(1)
    packet.data = bytearray()
    with pytest.raises(ValueError, match="empty"):
        world.listener().read_from(packet)


def test_a_single_read_flags_what_did_not_fit(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    sender.write_to(b"0123456789", listener.local_endpoint)
    packet = DatagramBuffer(4)
    world.await_arrival(listener.fileno())
    assert listener.read_from(packet)
    assert packet.flags == PacketFlags.TRUNCATED
    assert packet.length == 4


def test_single_and_batch_reads_share_one_order(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    sender.batch_egress().send_batch([b"1", b"2", b"3"], listener.local_endpoint)
    packet = DatagramBuffer(16)
    world.await_arrival(listener.fileno())
    listener.read_from(packet)
    assert contents([packet]) == [b"1"]
    assert received(world, listener, 2) == [b"2", b"3"]


def test_a_failure_found_by_a_batch_read_is_raised_by_the_single_read_after_it(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.failing_listener(after=1)
    sender.write_to(b"whole", listener.local_endpoint)
    world.await_arrival(listener.fileno())
    packets = DatagramBuffer.allocate(4, 16)
    assert listener.batch_ingress().read_batch(packets) == 1
    with pytest.raises(UdpError, match="failed"):
        listener.read_from(packets[0])
    assert not listener.read_from(packets[0])


def test_closing_twice_does_nothing(world: UdpWorld) -> None:
    listener = world.listener()
    assert listener.fileno() >= 0
    listener.close()
    listener.close()
    assert listener.fileno() == -1


def test_a_closed_listener_neither_reads_nor_writes(world: UdpWorld) -> None:
    listener, other = world.listener(), world.listener()
    listener.close()
    with pytest.raises(UdpClosedError):
        listener.read_from(DatagramBuffer(16))
    with pytest.raises(UdpClosedError):
        listener.write_to(b"late", other.local_endpoint)


def test_sending_where_nobody_listens_does_not_harm_the_listener(world: UdpWorld) -> None:
    sender, gone = world.listener(), world.listener()
    gone.close()
    listener = world.listener()
    for _ in range(3):
        sender.write_to(b"anybody?", gone.local_endpoint)
    assert not sender.read_from(DatagramBuffer(16))
    assert sender.write_to(b"still here", listener.local_endpoint)
    assert received(world, listener, 1) == [b"still here"]


def test_port_zero_is_refused_and_the_datagram_dropped(world: UdpWorld) -> None:
    sender = world.listener()
    assert not sender.write_to(b"nowhere", Endpoint(sender.local_endpoint.host, 0))
