"""What every BatchEgress must do."""

from collections.abc import Iterator

import pytest

from application.network.udp.listener import UdpClosedError
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from tests.contracts.udp_worlds import UDP_WORLDS, UdpWorld, received, world_name


@pytest.fixture(params=UDP_WORLDS, ids=world_name)
def world(request: pytest.FixtureRequest) -> Iterator[UdpWorld]:
    made: UdpWorld = request.param()
    with made:
        yield made


def test_a_batch_goes_out_in_order_and_is_counted(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    batch: list[Buffer] = [b"bytes", bytearray(b"bytearray"), memoryview(b"a view of more")[2:6]]
    assert sender.batch_egress().send_batch(batch, listener.local_endpoint) == 3
    assert received(world, listener, 3) == [b"bytes", b"bytearray", b"view"]


def test_an_empty_batch_sends_nothing(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    egress = sender.batch_egress()
    assert egress.send_batch([], listener.local_endpoint) == 0
    egress.send_batch([b"the first"], listener.local_endpoint)
    assert received(world, listener, 1) == [b"the first"]


def test_the_caller_may_reuse_its_buffer_at_once(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    egress = sender.batch_egress()
    buffer = bytearray(b"first")
    egress.send_batch([buffer], listener.local_endpoint)
    buffer[:] = b"other"
    egress.send_batch([buffer], listener.local_endpoint)
    assert received(world, listener, 2) == [b"first", b"other"]


def test_batches_to_different_endpoints_do_not_mix(world: UdpWorld) -> None:
    sender, first, second = world.listener(), world.listener(), world.listener()
    egress = sender.batch_egress()
    egress.send_batch([b"1", b"2"], first.local_endpoint)
    egress.send_batch([b"3"], second.local_endpoint)
    egress.send_batch([b"4"], first.local_endpoint)
    assert received(world, first, 3) == [b"1", b"2", b"4"]
    assert received(world, second, 1) == [b"3"]


def test_a_datagram_that_is_too_long_is_dropped_and_the_rest_goes_on(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    batch = [b"before", bytes(70_000), b"after"]
    assert sender.batch_egress().send_batch(batch, listener.local_endpoint) == 2
    assert received(world, listener, 2) == [b"before", b"after"]


def test_an_endpoint_that_cannot_exist_does_not_harm_the_others(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    egress = sender.batch_egress()
    assert egress.send_batch([b"a", b"b"], Endpoint(listener.local_endpoint.host, 0)) == 0
    assert egress.send_batch([b"c"], listener.local_endpoint) == 1
    assert received(world, listener, 1) == [b"c"]


def test_a_closed_socket_says_so(world: UdpWorld) -> None:
    sender, listener = world.listener(), world.listener()
    egress = sender.batch_egress()
    sender.close()
    with pytest.raises(UdpClosedError):
        egress.send_batch([b"late"], listener.local_endpoint)
