"""What every ClientTransport and Dialer must do; at the end, what those over datagrams must do besides."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from application.network.connection.transport import (
    ClientTransport,
    DialError,
    ResolutionError,
    TransportError,
)
from application.network.udp.listener import UdpListener
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from tests.adapters.runs import frames_from
from tests.contracts.path_worlds import PATH_WORLDS, PathServer, PathWorld, ServerEnd, path_name
from tests.contracts.udp_worlds import UDP_WORLDS, UdpWorld, contents, receive, world_name

STREAM_WORLDS = [world for world in PATH_WORLDS if "Udp" not in world.__name__]


@pytest.fixture(params=PATH_WORLDS, ids=path_name)
def world(request: pytest.FixtureRequest) -> Iterator[PathWorld]:
    made: PathWorld = request.param()
    with made:
        yield made


@pytest.fixture(params=UDP_WORLDS, ids=world_name)
def datagrams(request: pytest.FixtureRequest) -> Iterator[UdpWorld]:
    made: UdpWorld = request.param()
    with made:
        yield made


async def dialled(world: PathWorld, server: PathServer) -> tuple[ClientTransport, ServerEnd]:
    """A path to ``server`` and the server's end of it, after a first message."""
    transport = await world.dialer().dial(server.endpoint)
    await transport.send_message(b"hello")
    end, message = server.welcome()
    assert message == b"hello"
    return transport, end


async def dialled_over_udp(world: UdpWorld, server: UdpListener) -> tuple[ClientTransport, Endpoint]:
    """A path to ``server`` and the endpoint that it has there."""
    transport = await world.dialer().dial(server.local_endpoint)
    await transport.send_message(b"hello")
    (packet,) = receive(world, server.fileno(), server.batch_ingress(), 1)
    assert contents([packet]) == [b"hello"]
    return transport, packet.endpoint


def frames_of(world: PathWorld, transport: ClientTransport, count: int) -> list[bytes]:
    """The next ``count`` frames that the ingress gives, copied; fewer if no more come."""
    frames: list[bytes] = []
    while len(frames) < count and world.await_arrival(transport.fileno()):
        batch = frames_from(transport.ingress())
        if not batch:
            break
        frames += map(bytes, batch)
    return frames


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


def test_messages_go_both_ways(world: PathWorld) -> None:
    async def scenario() -> None:
        server = world.server()
        transport, end = await dialled(world, server)
        assert transport.remote_endpoint == server.endpoint
        end.send_messages(b"welcome")
        assert await transport.receive_message() == b"welcome"
        transport.close()

    run(scenario())


def test_a_message_is_awaited(world: PathWorld) -> None:
    async def scenario() -> None:
        transport, end = await dialled(world, world.server())
        waiting = asyncio.create_task(transport.receive_message())
        await asyncio.sleep(0)
        assert not waiting.done()
        end.send_messages(b"at last")
        assert await waiting == b"at last"
        transport.close()

    run(scenario())


def test_messages_come_one_at_a_time_in_order(world: PathWorld) -> None:
    async def scenario() -> None:
        transport, end = await dialled(world, world.server())
        end.send_messages(b"1", b"2", b"3")
        assert [await transport.receive_message() for _ in range(3)] == [b"1", b"2", b"3"]
        transport.close()

    run(scenario())


def test_what_follows_the_handshake_is_left_for_the_ingress(world: PathWorld) -> None:
    async def scenario() -> None:
        transport, end = await dialled(world, world.server())
        end.send_messages(b"message", b"frame 1", b"frame 2")
        assert await transport.receive_message() == b"message"
        assert frames_of(world, transport, 2) == [b"frame 1", b"frame 2"]
        end.send_messages(b"frame 3")
        assert frames_of(world, transport, 1) == [b"frame 3"]
        assert list(frames_from(transport.ingress())) == []
        transport.close()

    run(scenario())


def test_the_egress_sends_frames_in_order(world: PathWorld) -> None:
    async def scenario() -> None:
        transport, end = await dialled(world, world.server())
        egress = transport.egress()
        first, second, third = map(world.wire, (b"1", b"22", b"333"))
        frames: list[Buffer] = [first, bytearray(second), memoryview(third)]
        assert egress.has_room
        assert egress.send_batch(frames) == 3
        egress.send_message(b"a message")
        assert end.receive_messages(4) == [b"1", b"22", b"333", b"a message"]
        transport.close()

    run(scenario())


def test_a_cancelled_wait_loses_no_message(world: PathWorld) -> None:
    async def scenario() -> None:
        transport, end = await dialled(world, world.server())
        for number in range(20):
            waiting = asyncio.create_task(transport.receive_message())
            await asyncio.sleep(0)
            end.send_messages(b"%d" % number)
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


def test_a_timeout_fires_under_a_flood(world: PathWorld) -> None:
    async def scenario() -> None:
        transport, end = await dialled(world, world.server())
        seen: list[bytes] = []

        async def drink() -> None:
            while True:
                end.send_messages(b"flood", b"flood")
                seen.append(await transport.receive_message())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drink(), timeout=0.05)
        assert len(seen) > 1
        transport.close()

    run(scenario())


def test_each_path_has_its_own_local_port(world: PathWorld) -> None:
    async def scenario() -> None:
        server = world.server()
        paths = [await dialled(world, server) for _ in range(3)]
        assert len({end.client for _, end in paths}) == 3
        for transport, _ in paths:
            transport.close()

    run(scenario())


def test_a_server_that_is_gone_is_noticed_by_the_handshake(world: PathWorld) -> None:
    async def scenario() -> None:
        server = world.server()
        transport, _ = await dialled(world, server)
        server.close()

        async def ask() -> None:
            await transport.send_message(b"anybody?")
            await transport.receive_message()

        with pytest.raises(TransportError) as failure:
            await ask()
        assert str(server.endpoint) in str(failure.value)
        transport.close()

    run(scenario())


def test_a_closed_path_neither_sends_nor_receives(world: PathWorld) -> None:
    async def scenario() -> None:
        transport, end = await dialled(world, world.server())
        end.send_messages(b"message", b"kept")
        assert await transport.receive_message() == b"message"
        transport.close()
        transport.close()
        assert transport.fileno() == -1
        with pytest.raises(TransportError):
            await transport.send_message(b"late")
        with pytest.raises(TransportError):
            await transport.receive_message()
        with pytest.raises(TransportError):
            frames_from(transport.ingress())
        assert transport.egress().send_batch([b"late"]) == 0

    run(scenario())


def test_closing_ends_a_wait(world: PathWorld) -> None:
    async def scenario() -> None:
        transport, _ = await dialled(world, world.server())
        waiting = asyncio.create_task(transport.receive_message())
        await asyncio.sleep(0)
        transport.close()
        with pytest.raises(TransportError, match="closed"):
            await waiting

    run(scenario())


def test_dialling_can_be_cancelled(world: PathWorld) -> None:
    async def scenario() -> None:
        server = world.server()
        dialling = asyncio.create_task(world.dialer().dial(server.endpoint))
        await asyncio.sleep(0)
        dialling.cancel()
        with suppress(asyncio.CancelledError):
            (await dialling).close()  # it was quicker

    run(scenario())


def test_both_literals_are_resolved(world: PathWorld) -> None:
    async def scenario() -> None:
        server = ServerAddress(ipv4=IPv4Address("192.0.2.7"), ipv6=IPv6Address("2001:db8::7"))
        assert sorted(await world.dialer().resolve(profile(server, 443))) == [
            Endpoint("192.0.2.7", 443),
            Endpoint("2001:db8::7", 443),
        ]

    run(scenario())


def test_a_profile_without_a_server_has_no_endpoint(world: PathWorld) -> None:
    async def scenario() -> None:
        with pytest.raises(ResolutionError):
            await world.dialer().resolve(profile(ServerAddress()))

    run(scenario())


def test_an_empty_datagram_is_no_message(datagrams: UdpWorld) -> None:
    async def scenario() -> None:
        server = datagrams.listener()
        transport, client = await dialled_over_udp(datagrams, server)
        server.batch_egress().send_batch([b"", b"message"], client)
        assert await transport.receive_message() == b"message"
        transport.close()

    run(scenario())


def test_strangers_are_not_heard(datagrams: UdpWorld) -> None:
    async def scenario() -> None:
        server, stranger = datagrams.listener(), datagrams.listener()
        transport, client = await dialled_over_udp(datagrams, server)
        stranger.write_to(b"forged", client)
        server.write_to(b"real", client)
        assert await transport.receive_message() == b"real"
        transport.close()

    run(scenario())


def test_a_port_that_nobody_has_refuses_datagrams(datagrams: UdpWorld) -> None:
    async def scenario() -> None:
        server = datagrams.listener()
        transport, _ = await dialled_over_udp(datagrams, server)
        server.close()
        await transport.send_message(b"anybody?")
        with pytest.raises(TransportError, match="refused: nothing listens there"):
            await transport.receive_message()
        transport.close()

    run(scenario())


def test_a_session_over_datagrams_hears_of_a_port_that_nobody_has_and_goes_on(datagrams: UdpWorld) -> None:
    async def scenario() -> None:
        server = datagrams.listener()
        transport, _ = await dialled_over_udp(datagrams, server)
        ingress = transport.ingress()
        assert transport.take_refusal() is None
        server.close()
        for _ in range(3):
            assert transport.egress().send_batch([b"anybody?"]) == 1
            assert datagrams.await_arrival(transport.fileno())
            assert frames_from(ingress) == []
            assert transport.take_refusal() == "the server's host says that nobody listens on its port"
            assert transport.take_refusal() is None
        transport.close()

    run(scenario())


@pytest.mark.parametrize("protocol", STREAM_WORLDS)
def test_a_stream_without_its_server_has_ended(protocol: type[PathWorld]) -> None:
    async def scenario() -> None:
        with protocol() as world:
            server = world.server()
            transport, _ = await dialled(world, server)
            server.close()
            transport.egress().send_batch([world.wire(b"anybody?")])
            assert world.await_arrival(transport.fileno())
            assert transport.take_refusal() is None
            with pytest.raises(TransportError) as failure:
                frames_from(transport.ingress())
            assert str(server.endpoint) in str(failure.value)
            transport.close()

    run(scenario())


@pytest.mark.parametrize("protocol", STREAM_WORLDS)
def test_a_stream_is_not_opened_where_nothing_listens(protocol: type[PathWorld]) -> None:
    async def scenario() -> None:
        with protocol() as world:
            server = world.server()
            server.close()
            with pytest.raises(DialError, match="nothing listens there") as failure:
                await world.dialer().dial(server.endpoint)
        assert str(server.endpoint) in str(failure.value)

    run(scenario())
