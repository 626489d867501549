"""What ClientTunManager promises, asked of the fake and of a real host in a network namespace."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Protocol, TypeVar

import pytest

from application.network.routing.tun import ClientTunManager, TunDevice, TunError
from domain.addressing.tunnel import TunnelAddresses, client_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.pal.linux.journal import JournalFolder
from infrastructure.pal.linux.tun import LinuxTunDevice
from infrastructure.pal.tunnel.client.tun_manager import SINK_INTERFACE, LinuxClientTunManager
from tests.adapters.log import RememberingLog
from tests.adapters.tun import IPV4, IPV6, FakeClientTunManager, FakeTunDevice, WayOut
from tests.netns.bed import NetnsBed
from tests.netns.uplink import INTERNET, INTERNET_V6, Uplink

_T = TypeVar("_T")


def profile_of(protocol: TransportProtocol, number: int, *, with_ipv6: bool) -> TransportProfile:
    return TransportProfile(
        protocol=protocol,
        interface_name=f"c_{protocol.value.lower()}tun0",
        ipv4_subnet=IPv4Network(f"10.0.{number}.0/24"),
        ipv6_subnet=IPv6Network(f"fd00:{number}::/64") if with_ipv6 else None,
        server=ServerAddress(domain="vpn.example"),
        port=9090,
        mtu_bytes=1400,
        dial_timeout_ms=5000,
    )


def addresses_of(profile: TransportProfile) -> TunnelAddresses:
    return client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, client_id=1)


UDP: Final = profile_of(TransportProtocol.UDP, 1, with_ipv6=True)
TCP: Final = profile_of(TransportProtocol.TCP, 2, with_ipv6=True)
WS_WITHOUT_IPV6: Final = profile_of(TransportProtocol.WS, 3, with_ipv6=False)

IN_CLEAR: Final = (WayOut.IN_CLEAR, WayOut.IN_CLEAR)
NOWHERE: Final = (WayOut.NOWHERE, WayOut.NOWHERE)
TUNNEL: Final = (WayOut.TUNNEL, WayOut.TUNNEL)


class Host(Protocol):
    """Where the manager does its work."""

    manager: ClientTunManager

    def run(self, scenario: Callable[[], Coroutine[None, None, _T]]) -> _T:
        """What the coroutine function returns or raises, on an event loop in the host."""
        ...

    def ways_out(self) -> tuple[WayOut, WayOut]:
        """Where IPv4 and where IPv6 goes now."""
        ...

    def state(self) -> object:
        """All that a manager may change, to be compared."""
        ...

    def let_open_fail(self) -> None:
        """From now on UDP's device cannot be made."""
        ...

    def let_open_succeed(self) -> None:
        """Take back ``let_open_fail``."""
        ...

    def delete_interface_of(self, device: TunDevice) -> None:
        """Somebody deletes the interface while the device is open."""
        ...


class FakeHost:
    """The attributes of FakeClientTunManager."""

    def __init__(self) -> None:
        self._fake = FakeClientTunManager()
        self.manager: ClientTunManager = self._fake

    def run(self, scenario: Callable[[], Coroutine[None, None, _T]]) -> _T:
        return asyncio.run(scenario())

    def ways_out(self) -> tuple[WayOut, WayOut]:
        return self._fake.way_out(IPV4), self._fake.way_out(IPV6)

    def state(self) -> object:
        return self._fake.is_held, self._fake.is_open

    def let_open_fail(self) -> None:
        self._fake.open_failures[UDP.interface_name] = TunError("the name is taken")

    def let_open_succeed(self) -> None:
        self._fake.open_failures.clear()

    def delete_interface_of(self, device: TunDevice) -> None:
        assert isinstance(device, FakeTunDevice)
        device.vanish()


class NamespaceHost:
    """A namespace with an uplink."""

    def __init__(self, bed: NetnsBed) -> None:
        self._uplink = Uplink(bed)
        self.manager: ClientTunManager = LinuxClientTunManager(RememberingLog(), JournalFolder.of_this_host())

    def run(self, scenario: Callable[[], Coroutine[None, None, _T]]) -> _T:
        return self._uplink.host.call_async(scenario)

    def ways_out(self) -> tuple[WayOut, WayOut]:
        return self._way_to(INTERNET), self._way_to(INTERNET_V6)

    def state(self) -> object:
        return self._uplink.host.snapshot()

    def let_open_fail(self) -> None:
        self._uplink.host.run("ip", "tuntap", "add", "dev", UDP.interface_name, "mode", "tun")

    def let_open_succeed(self) -> None:
        self._uplink.host.run("ip", "link", "delete", UDP.interface_name)

    def delete_interface_of(self, device: TunDevice) -> None:
        assert isinstance(device, LinuxTunDevice)
        self._uplink.host.run("ip", "link", "delete", device.name)

    def _way_to(self, address: str) -> WayOut:
        words = self._uplink.host.run("ip", "route", "get", address).split()
        interface = words[words.index("dev") + 1]
        if interface == self._uplink.interface:
            return WayOut.IN_CLEAR
        return WayOut.NOWHERE if interface == SINK_INTERFACE else WayOut.TUNNEL


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.netns)])
def host(request: pytest.FixtureRequest) -> Host:
    if request.param == "fake":
        return FakeHost()
    bed = request.getfixturevalue("bed")
    assert isinstance(bed, NetnsBed)
    return NamespaceHost(bed)


@pytest.fixture(autouse=True)
def everything_is_undone(host: Host) -> Iterator[None]:
    """Whatever a test does, it leaves the host as it was."""
    before = host.state()
    yield
    assert host.ways_out() == IN_CLEAR
    assert host.state() == before


def test_a_held_host_without_a_device_sends_nothing_out(host: Host) -> None:
    async def scenario() -> tuple[WayOut, WayOut]:
        async with host.manager.hold():
            return host.ways_out()

    assert host.run(scenario) == NOWHERE


def test_traffic_goes_into_the_open_device_and_nowhere_after_it(host: Host) -> None:
    async def scenario() -> None:
        async with host.manager.hold():
            async with host.manager.open(UDP, addresses_of(UDP)) as device:
                assert device.name == UDP.interface_name
                assert host.ways_out() == TUNNEL
            assert device.fileno() == -1
            assert host.ways_out() == NOWHERE

    host.run(scenario)


def test_ipv6_goes_nowhere_while_the_open_device_has_none(host: Host) -> None:
    async def scenario() -> tuple[WayOut, WayOut]:
        async with host.manager.hold(), host.manager.open(WS_WITHOUT_IPV6, addresses_of(WS_WITHOUT_IPV6)):
            return host.ways_out()

    assert host.run(scenario) == (WayOut.TUNNEL, WayOut.NOWHERE)


def test_one_device_takes_the_place_of_another_and_makes_room_again(host: Host) -> None:
    async def scenario() -> list[str]:
        names = []
        async with host.manager.hold():
            for profile in (UDP, TCP, WS_WITHOUT_IPV6, UDP, UDP):
                async with host.manager.open(profile, addresses_of(profile)) as device:
                    names.append(device.name)
                    assert host.ways_out()[0] is WayOut.TUNNEL
                assert host.ways_out() == NOWHERE
        return names

    assert host.run(scenario) == ["c_udptun0", "c_tcptun0", "c_wstun0", "c_udptun0", "c_udptun0"]


def test_two_devices_at_a_time_are_refused_and_the_first_goes_on(host: Host) -> None:
    async def scenario() -> None:
        async with host.manager.hold(), host.manager.open(UDP, addresses_of(UDP)) as device:
            with pytest.raises(RuntimeError):
                async with host.manager.open(TCP, addresses_of(TCP)):
                    pass
            assert device.fileno() >= 0
            assert host.ways_out() == TUNNEL

    host.run(scenario)


def test_a_device_is_refused_before_and_after_the_host_is_held(host: Host) -> None:
    async def open_one() -> None:
        with pytest.raises(RuntimeError):
            async with host.manager.open(UDP, addresses_of(UDP)):
                pass
        assert host.ways_out() == IN_CLEAR

    async def scenario() -> None:
        await open_one()
        async with host.manager.hold():
            pass
        await open_one()

    host.run(scenario)


def test_a_host_is_held_once_and_the_first_holder_goes_on(host: Host) -> None:
    async def scenario() -> None:
        async with host.manager.hold():
            with pytest.raises(TunError):
                async with host.manager.hold():
                    pass
            assert host.ways_out() == NOWHERE
            async with host.manager.open(UDP, addresses_of(UDP)):
                assert host.ways_out() == TUNNEL

    host.run(scenario)


def test_a_host_can_be_held_again(host: Host) -> None:
    async def scenario() -> None:
        for profile in (UDP, TCP):
            async with host.manager.hold(), host.manager.open(profile, addresses_of(profile)):
                assert host.ways_out() == TUNNEL
            assert host.ways_out() == IN_CLEAR

    host.run(scenario)


@pytest.mark.parametrize(
    ("profile", "addresses"),
    [(UDP, addresses_of(WS_WITHOUT_IPV6)), (WS_WITHOUT_IPV6, addresses_of(UDP))],
    ids=["profile-has-ipv6", "addresses-have-ipv6"],
)
def test_a_profile_and_addresses_that_disagree_about_ipv6_are_refused(
    host: Host, profile: TransportProfile, addresses: TunnelAddresses
) -> None:
    async def scenario() -> None:
        async with host.manager.hold():
            with pytest.raises(ValueError, match="disagree about IPv6"):
                async with host.manager.open(profile, addresses):
                    pass
            assert host.ways_out() == NOWHERE

    host.run(scenario)


def test_when_a_device_cannot_be_made_the_host_stays_held_and_another_can(host: Host) -> None:
    async def scenario() -> None:
        async with host.manager.hold():
            host.let_open_fail()
            with pytest.raises(TunError):
                async with host.manager.open(UDP, addresses_of(UDP)):
                    pass
            assert host.ways_out() == NOWHERE
            async with host.manager.open(TCP, addresses_of(TCP)):
                assert host.ways_out() == TUNNEL
            host.let_open_succeed()
            async with host.manager.open(UDP, addresses_of(UDP)):
                assert host.ways_out() == TUNNEL

    host.run(scenario)


def test_after_somebody_deleted_the_interface_another_device_can_be_opened(host: Host) -> None:
    async def scenario() -> None:
        async with host.manager.hold():
            async with host.manager.open(UDP, addresses_of(UDP)) as device:
                host.delete_interface_of(device)
            assert host.ways_out() == NOWHERE
            async with host.manager.open(UDP, addresses_of(UDP)):
                assert host.ways_out() == TUNNEL

    host.run(scenario)


def test_an_error_leaves_as_it_is_and_ends_only_the_contexts_it_crosses(host: Host) -> None:
    async def scenario() -> None:
        async with host.manager.hold():
            with pytest.raises(ZeroDivisionError):
                async with host.manager.open(UDP, addresses_of(UDP)):
                    raise ZeroDivisionError
            assert host.ways_out() == NOWHERE
            raise EOFError

    with pytest.raises(EOFError):
        host.run(scenario)


def test_cancelling_ends_both_contexts(host: Host) -> None:
    async def scenario() -> None:
        opened: asyncio.Future[TunDevice] = asyncio.get_running_loop().create_future()

        async def client() -> None:
            async with host.manager.hold(), host.manager.open(UDP, addresses_of(UDP)) as device:
                opened.set_result(device)
                await asyncio.Event().wait()

        running = asyncio.ensure_future(client())
        device = await opened
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert device.fileno() == -1
        assert host.ways_out() == IN_CLEAR

    host.run(scenario)
