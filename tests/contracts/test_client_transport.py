"""What every ClientTransport and Dialer must do."""

import asyncio
from collections.abc import Coroutine, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from application.network.connection.transport import ClientTransport, ResolutionError, TransportError
from application.network.udp.listener import UdpClosedError, UdpError, UdpListener
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.network.udp.buffers import DatagramBuffer
from tests.contracts.udp_worlds import UDP_WORLDS, UdpWorld, contents, receive, received, world_name


@pytest.fixture(params=UDP_WORLDS, ids=world_name)
def world(request: pytest.FixtureRequest) -> Iterator[UdpWorld]:
    made: UdpWorld = request.param()
    with made:
        yield made


async def dialled(world: UdpWorld, server: UdpListener) -> tuple[ClientTransport, Endpoint]:
    """A path to ``server`` and the endpoint that it has there."""
    transport = await world.dialer().dial(server.local_endpoint)
    await transport.send_message(b"hello")
    (packet,) = receive(world, server.fileno(), server.batch_ingress(), 1)
    assert contents([packet]) == [b"hello"]
    return transport, packet.endpoint


def run(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, timeout=10))


def profile(server: ServerAddress, port: int = 9090) -> TransportProfile:
    return TransportProfile(
        protocol=TransportProtocol.UDP,
        interface_name="c_udptun0",
        ipv4_subnet=IPv4Network("10.0.0.0/24"),
        ipv6_subnet=None,
        server=server,
        port=port,
        mtu_bytes=1200,
        dial_timeout_ms=5000,
    )


def test_messages_go_both_ways(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, client = await dialled(world, server)
        assert transport.remote_endpoint == server.local_endpoint
        server.write_to(b"welcome", client)
        assert await transport.receive_message() == b"welcome"
        transport.close()

    run(scenario())


def test_a_message_is_awaited(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, client = await dialled(world, server)
        waiting = asyncio.create_task(transport.receive_message())
        await asyncio.sleep(0)
        assert not waiting.done()
        server.write_to(b"at last", client)
        assert await waiting == b"at last"
        transport.close()

    run(scenario())


def test_messages_come_one_at_a_time_in_order(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, client = await dialled(world, server)
        server.batch_egress().send_batch([b"1", b"2", b"3"], client)
        assert [await transport.receive_message() for _ in range(3)] == [b"1", b"2", b"3"]
        transport.close()

    run(scenario())


def test_what_follows_the_handshake_is_left_for_the_ingress(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, client = await dialled(world, server)
        server.batch_egress().send_batch([b"message", b"frame 1", b"frame 2"], client)
        assert await transport.receive_message() == b"message"
        frames = receive(world, transport.fileno(), transport.ingress(), 2)
        assert contents(frames) == [b"frame 1", b"frame 2"]
        assert [frame.endpoint for frame in frames] == [server.local_endpoint] * 2
        transport.close()

    run(scenario())


def test_the_egress_sends_frames_in_order(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, _ = await dialled(world, server)
        assert transport.egress().send_batch([b"1", bytearray(b"2"), memoryview(b"3")]) == 3
        assert received(world, server, 3) == [b"1", b"2", b"3"]
        transport.close()

    run(scenario())


def test_an_empty_datagram_is_no_message(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, client = await dialled(world, server)
        server.batch_egress().send_batch([b"", b"message"], client)
        assert await transport.receive_message() == b"message"
        transport.close()

    run(scenario())


def test_strangers_are_not_heard(world: UdpWorld) -> None:
    async def scenario() -> None:
        server, stranger = world.listener(), world.listener()
        transport, client = await dialled(world, server)
        stranger.write_to(b"forged", client)
        server.write_to(b"real", client)
        assert await transport.receive_message() == b"real"
        transport.close()

    run(scenario())


def test_a_cancelled_wait_loses_no_message(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, client = await dialled(world, server)
        for number in range(20):
            waiting = asyncio.create_task(transport.receive_message())
            await asyncio.sleep(0)
            server.write_to(b"%d" % number, client)
            # From not at all to past the moment at which the wait is over but the task has not run yet.
            for _ in range(number % 4):
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                assert await waiting == b"%d" % number
            except asyncio.CancelledError:
                assert await transport.receive_message() == b"%d" % number
        transport.close()

    run(scenario())


def test_a_timeout_fires_under_a_flood(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, client = await dialled(world, server)
        seen: list[bytes] = []

        async def drink() -> None:
            while True:
                server.write_to(b"flood", client)
                seen.append(await transport.receive_message())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drink(), timeout=0.05)
        assert len(seen) > 1
        transport.close()

    run(scenario())


def test_each_path_has_its_own_local_port(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        paths = [await dialled(world, server) for _ in range(3)]
        assert len({endpoint for _, endpoint in paths}) == 3
        for transport, _ in paths:
            transport.close()

    run(scenario())


def test_a_server_that_is_gone_is_noticed_by_the_handshake(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, _ = await dialled(world, server)
        server.close()
        await transport.send_message(b"anybody?")
        with pytest.raises(TransportError, match="refused: nothing listens there") as failure:
            await transport.receive_message()
        assert str(server.local_endpoint) in str(failure.value)
        transport.close()

    run(scenario())


def test_a_server_that_is_gone_is_noticed_by_the_data_plane(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, _ = await dialled(world, server)
        server.close()
        transport.egress().send_batch([b"anybody?"])
        assert world.await_arrival(transport.fileno())
        with pytest.raises(UdpError, match="refused: nothing listens there"):
            transport.ingress().read_batch(DatagramBuffer.allocate(4, 64))
        transport.close()

    run(scenario())


def test_a_closed_path_neither_sends_nor_receives(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = world.listener()
        transport, _ = await dialled(world, server)
        transport.close()
        transport.close()
        assert transport.fileno() == -1
        with pytest.raises(TransportError):
            await transport.send_message(b"late")
        with pytest.raises(TransportError):
            await transport.receive_message()
        with pytest.raises(UdpClosedError):
            transport.ingress().read_batch(DatagramBuffer.allocate(1, 64))
        assert transport.egress().send_batch([b"late"]) == 0

    run(scenario())


def test_closing_ends_a_wait(world: UdpWorld) -> None:
    async def scenario() -> None:
        transport, _ = await dialled(world, world.listener())
        waiting = asyncio.create_task(transport.receive_message())
        await asyncio.sleep(0)
        transport.close()
        with pytest.raises(TransportError, match="closed"):
            await waiting

    run(scenario())


def test_literals_are_resolved_in_order_of_preference(world: UdpWorld) -> None:
    async def scenario() -> None:
        server = ServerAddress(ipv4=IPv4Address("192.0.2.7"), ipv6=IPv6Address("2001:db8::7"))
        assert await world.dialer().resolve(profile(server, 443)) == [
            Endpoint("192.0.2.7", 443),
            Endpoint("2001:db8::7", 443),
        ]

    run(scenario())


def test_a_profile_without_a_server_has_no_endpoint(world: UdpWorld) -> None:
    async def scenario() -> None:
        with pytest.raises(ResolutionError):
            await world.dialer().resolve(profile(ServerAddress()))

    run(scenario())
