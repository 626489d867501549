"""The composition root: every provider fits what it calls, and a whole tunnel stands on fakes."""

import asyncio
import inspect
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import get_type_hints

import pytest
from dependency_injector import containers, providers

from application.client.connect import ClientTunnel
from application.network.udp.listener import UdpBindError
from application.server.datagrams import DatagramReception
from application.server.reception import Reception
from application.server.serve import Server
from domain.addressing.endpoint import Endpoint
from domain.addressing.peers import Peer
from domain.noise.keys import KeyPair
from domain.settings.client import ClientSettings
from domain.settings.defaults import default_server_settings
from domain.settings.offload import OffloadMode, OffloadSettings
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from domain.settings.server import ServerSettings
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.client import UdpDialer
from infrastructure.network.udp.egress import UdpPeerEgress
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.network.udp.offload import ONE_BY_ONE, WHERE_POSSIBLE, UdpOffload
from infrastructure.network.udp.registration import UdpRegistration
from infrastructure.pal.tunnel.client.tun_manager import LinuxClientTunManager
from infrastructure.pal.tunnel.server.tun_manager import ServerTunManager
from tests.adapters.clock import FakeClock
from tests.adapters.entropy import SeededEntropy
from tests.adapters.log import RememberingLog
from tests.adapters.network_changes import FakeNetworkSurroundings
from tests.adapters.router import PollingRouter
from tests.adapters.tun import FakeClientTunManager, FakeTunManager
from tests.adapters.udp import FakeDialer, FakeNetwork
from tungo import container as composition
from tungo.container import ClientContainer, CommonContainer, ServerContainer

SERVER = KeyPair.from_private(PycaPrimitives(), b"s" * 32)
CLIENT = KeyPair.from_private(PycaPrimitives(), b"c" * 32)


def server_settings() -> ServerSettings:
    return replace(
        default_server_settings(),
        private_key=SERVER.private,
        public_key=SERVER.public,
        peers=(Peer(public_key=CLIENT.public, client_id=1),),
    )


def client_settings() -> ClientSettings:
    server = server_settings()
    address = ServerAddress(ipv4=IPv4Address("192.0.2.1"))
    return ClientSettings(
        client_id=1,
        tcp=replace(server.tcp, server=address),
        udp=replace(server.udp, server=address, interface_name="c_udptun0"),
        ws=replace(server.ws, server=address),
        protocol=TransportProtocol.UDP,
        server_public_key=SERVER.public,
        public_key=CLIENT.public,
        private_key=CLIENT.private,
    )


EVERY_PROVIDER = [
    (container, name)
    for container in (CommonContainer, ClientContainer, ServerContainer)
    for name in container.providers
]


def promise(container: type[containers.DeclarativeContainer], name: str) -> object:
    """The X of the annotation ``providers.Provider[X]``."""
    annotation = next(vars(base)["__annotations__"][name] for base in container.__mro__ if name in vars(base))
    inner = annotation.removeprefix("providers.Provider[").removesuffix("]")
    assert inner != annotation
    return getattr(composition, inner)


@pytest.mark.parametrize(("container", "name"), EVERY_PROVIDER)
def test_a_provider_gives_its_callable_what_it_takes_and_promises_what_it_returns(
    container: type[containers.DeclarativeContainer], name: str
) -> None:
    provider = container.providers[name]
    promised = promise(container, name)
    if isinstance(provider, providers.Dependency):
        assert provider.instance_of is promised
        return
    assert isinstance(provider, providers.Singleton)
    built = provider.provides
    assert callable(built)
    bound = inspect.signature(built).bind(*provider.args, **provider.kwargs)
    if inspect.isclass(built):
        assert not bound.arguments
        public = [method for method in vars(promised) if not method.startswith("_")]
        assert all(hasattr(built, method) for method in public)
        return
    hints = get_type_hints(built)
    assert hints["return"] == promised
    names = {id(candidate): its_name for its_name, candidate in container.providers.items()}
    for parameter, argument in bound.arguments.items():
        if isinstance(argument, providers.Provider):
            assert hints[parameter] == promise(container, names[id(argument)])
        else:
            assert isinstance(argument, hints[parameter])


@pytest.mark.parametrize("protocol", TransportProtocol)
def test_a_client_of_every_transport_can_be_built(protocol: TransportProtocol) -> None:
    settings = replace(client_settings(), protocol=protocol)
    (option,) = ClientContainer(settings=settings).options()
    assert option.profile.protocol is protocol


def test_everything_can_be_built_for_real() -> None:
    assert isinstance(ServerContainer(settings=server_settings(), path=Path("absent.json")).server(), Server)
    assert isinstance(ClientContainer(settings=client_settings()).tunnel(), ClientTunnel)


@pytest.mark.parametrize(
    ("mode", "of_sockets"), [(OffloadMode.OFF, ONE_BY_ONE), (OffloadMode.AUTO, WHERE_POSSIBLE)]
)
def test_what_a_file_says_of_offloads_reaches_sockets_and_interfaces(
    mode: OffloadMode, of_sockets: UdpOffload, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound_with: list[UdpOffload] = []

    def bind(*_address: object, offload: UdpOffload, **_options: object) -> None:
        bound_with.append(offload)
        raise UdpBindError("that was all")

    monkeypatch.setattr(BoundUdpListener, "bind", bind)
    offload = OffloadSettings(tun_segmentation=mode, udp_segmentation=mode, udp_coalescing=mode)
    client = ClientContainer(settings=replace(client_settings(), offload=offload))
    dialer, client_manager = client.dialer_for()(client_settings().udp), client.tun_manager()
    server = ServerContainer(settings=replace(server_settings(), offload=offload), path=Path("absent.json"))
    server_manager = server.tun_manager_for()(server_settings().udp)
    assert isinstance(dialer, UdpDialer)
    assert isinstance(client_manager, LinuxClientTunManager)
    assert isinstance(server_manager, ServerTunManager)
    with pytest.raises(UdpBindError):
        server.open_reception()(server_settings().udp)
    assert [dialer._offload, *bound_with] == [of_sockets, of_sockets]
    assert (client_manager._segmentation, server_manager._segmentation) == (mode, mode)


@pytest.mark.parametrize("container", [ClientContainer, ServerContainer])
def test_without_settings_nothing_is_built(container: type[containers.DeclarativeContainer]) -> None:
    made = container()
    root = made.tunnel if container is ClientContainer else made.server
    with pytest.raises(Exception, match="is not defined"):
        root()


def test_a_client_and_a_server_on_fakes_find_each_other() -> None:
    network = FakeNetwork()
    client_log, server_log = RememberingLog(), RememberingLog()
    server = ServerContainer(settings=server_settings(), path=Path("absent.json"))
    client = ClientContainer(settings=client_settings())
    clock = FakeClock()
    server_tun, client_tun = FakeTunManager("server0"), FakeClientTunManager()

    def open_reception(profile: TransportProfile) -> Reception:
        listener = network.listen(Endpoint("192.0.2.1", profile.port))
        egress = listener.batch_egress()
        return DatagramReception(
            listener=listener,
            sessions=server.sessions()[profile.protocol],
            registration=UdpRegistration(
                register=server.registrar_for()(profile).register,
                egress_to=lambda endpoint: UdpPeerEgress(egress, endpoint),
                clock=clock,
                counters=server.counters(),
            ),
            packets=DatagramBuffer.allocate(8, 1536),
            counters=server.counters(),
        )

    async def scenario() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.server().run())
            while "listening" not in server_log.messages:
                await asyncio.sleep(0)
            connecting = tasks.create_task(client.tunnel().run())
            while "tunnel is up" not in client_log.messages:
                await asyncio.sleep(0.005)
            serving.cancel()
            connecting.cancel()

    with (
        server.open_reception.override(providers.Object(open_reception)),
        server.tun_manager_for.override(providers.Object(lambda _profile: server_tun)),
        server.log.override(providers.Object(server_log)),
        server.entropy.override(providers.Object(SeededEntropy(1))),
        server.clock.override(providers.Object(clock)),
        server.router.override(providers.Object(PollingRouter(clock))),
        client.dialer_for.override(providers.Object(lambda _profile: FakeDialer(network, "198.51.100.7"))),
        client.tun_manager.override(providers.Object(client_tun)),
        client.watch.override(providers.Object(lambda: nullcontext(FakeNetworkSurroundings()))),
        client.log.override(providers.Object(client_log)),
        client.entropy.override(providers.Object(SeededEntropy(2))),
        client.clock.override(providers.Object(clock)),
        client.router.override(providers.Object(PollingRouter(clock))),
    ):
        asyncio.run(scenario())
    assert client_log.messages == ["connected", "tunnel is up"]
    assert "listening" in server_log.messages
    assert not server_tun.is_open
    assert client_tun.transcript == ["hold", "open c_udptun0", "close c_udptun0", "release"]
