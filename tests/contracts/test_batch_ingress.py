"""What every BatchIngress must do."""

from collections.abc import Iterator

import pytest

from application.network.udp.listener import UdpClosedError, UdpError
from application.network.udp.packet import PacketFlags
from infrastructure.network.udp.buffers import DatagramBuffer
from tests.contracts.udp_worlds import UDP_WORLDS, UdpWorld, contents, receive, received, world_name


@pytest.fixture(params=UDP_WORLDS, ids=world_name)
def world(request: pytest.FixtureRequest) -> Iterator[UdpWorld]:
    made: UdpWorld = request.param()
    with made:
        yield made


def test_nothing_there_is_zero(world: UdpWorld) -> None:
    ingress = world.listener().batch_ingress()
    assert ingress.read_batch(DatagramBuffer.allocate(8, 1536)) == 0


def test_a_batch_ends_where_the_datagrams_end(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    sender.batch_egress().send_batch([b"a", b"b", b"c"], listener.local_endpoint)
    assert received(world, listener, 3) == [b"a", b"b", b"c"]
    assert listener.batch_ingress().read_batch(DatagramBuffer.allocate(8, 1536)) == 0


def test_what_does_not_fit_the_batch_waits_for_the_next(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    sent = [bytes([number]) for number in range(5)]
    sender.batch_egress().send_batch(sent, listener.local_endpoint)
    assert received(world, listener, 3) == sent[:3]
    assert received(world, listener, 2) == sent[3:]


def test_buffers_are_overwritten_and_never_replaced(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    ingress = listener.batch_ingress()
    packets = DatagramBuffer.allocate(1, 32)
    data, view = packets[0].data, packets[0].view
    for message in (b"a long first message", b"short"):
        sender.write_to(message, listener.local_endpoint)
        assert world.await_arrival(listener.fileno())
        assert ingress.read_batch(packets) == 1
        assert contents(packets) == [message]
    assert packets[0].data is data
    assert packets[0].view is view


def test_each_datagram_has_its_own_source(world: UdpWorld) -> None:
    senders = [world.listener() for _ in range(3)]
    listener = world.listener()
    order = [0, 1, 0, 2, 2, 1]
    for index in order:
        senders[index].write_to(b"x", listener.local_endpoint)
    packets = receive(world, listener.fileno(), listener.batch_ingress(), len(order))
    assert [packet.endpoint for packet in packets] == [senders[index].local_endpoint for index in order]


def test_a_datagram_longer_than_its_buffer_is_flagged_and_its_neighbours_are_whole(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    sender.batch_egress().send_batch([b"1234", b"12345", b"123"], listener.local_endpoint)
    packets = receive(world, listener.fileno(), listener.batch_ingress(), 3, size_bytes=4)
    assert [packet.flags for packet in packets] == [
        PacketFlags.NONE,
        PacketFlags.TRUNCATED,
        PacketFlags.NONE,
    ]
    assert contents(packets) == [b"1234", b"1234", b"123"]


def test_a_flag_does_not_outlive_its_datagram(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    ingress = listener.batch_ingress()
    packets = DatagramBuffer.allocate(1, 4)
    for message, flags in ((b"too long", PacketFlags.TRUNCATED), (b"fits", PacketFlags.NONE)):
        sender.write_to(message, listener.local_endpoint)
        world.await_arrival(listener.fileno())
        assert ingress.read_batch(packets) == 1
        assert packets[0].flags == flags


def test_an_empty_datagram_is_a_datagram(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    sender.batch_egress().send_batch([b"", b"after"], listener.local_endpoint)
    assert received(world, listener, 2) == [b"", b"after"]


def test_datagrams_before_a_failure_are_delivered_and_the_failure_comes_next(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.failing_listener(after=2)
    ingress = listener.batch_ingress()
    sender.batch_egress().send_batch([b"one", b"two", b"three"], listener.local_endpoint)
    packets = receive(world, listener.fileno(), ingress, 2)
    assert contents(packets) == [b"one", b"two"]
    with pytest.raises(UdpError, match="failed"):
        ingress.read_batch(packets)
    assert received(world, listener, 1) == [b"three"]


def test_one_call_that_meets_the_failure_half_way_loses_nothing(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.failing_listener(after=2)
    ingress = listener.batch_ingress()
    sender.batch_egress().send_batch([b"one", b"two", b"three"], listener.local_endpoint)
    world.await_arrival(listener.fileno())
    packets = DatagramBuffer.allocate(8, 64)
    assert ingress.read_batch(packets) == 2
    assert contents(packets[:2]) == [b"one", b"two"]
    with pytest.raises(UdpError, match="failed"):
        ingress.read_batch(packets)
    assert ingress.read_batch(packets) == 1
    assert contents(packets[:1]) == [b"three"]


def test_an_empty_batch_is_a_mistake_of_the_caller(world: UdpWorld) -> None:
    with pytest.raises(ValueError, match="packet"):
        world.listener().batch_ingress().read_batch([])


def test_a_buffer_without_room_is_a_mistake_that_costs_no_datagram(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    sender.batch_egress().send_batch([b"one", b"two"], listener.local_endpoint)
    packets = DatagramBuffer.allocate(2, 16)
    packets[1].data = bytearray()
    world.await_arrival(listener.fileno())
    with pytest.raises(ValueError, match="empty"):
        listener.batch_ingress().read_batch(packets)
    assert received(world, listener, 2) == [b"one", b"two"]


def test_a_closed_socket_says_so(world: UdpWorld) -> None:
    listener = world.listener()
    ingress = listener.batch_ingress()
    listener.close()
    with pytest.raises(UdpClosedError):
        ingress.read_batch(DatagramBuffer.allocate(1, 16))


def test_closing_counts_more_than_a_failure_that_waits(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.failing_listener(after=1)
    sender.write_to(b"one", listener.local_endpoint)
    world.await_arrival(listener.fileno())
    ingress = listener.batch_ingress()
    packets = DatagramBuffer.allocate(4, 16)
    assert ingress.read_batch(packets) == 1
    listener.close()
    with pytest.raises(UdpClosedError):
        ingress.read_batch(packets)
