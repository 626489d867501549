"""A client's life: it connects, forwards, and connects again, and some errors end it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network
from typing import NoReturn

import pytest

from application.client.connect import ClientTunnel
from application.client.control import NetworkChangedError
from application.client.option import TransportOption
from application.network.connection.handshake import Established
from application.network.connection.transport import ClientTransport, DialForbiddenError, ResolutionError
from application.network.routing.router import Router
from application.network.routing.tun import TunDevice, TunUnavailableError
from application.network.routing.worker import ProbingWorker, SessionEndedError, Worker
from domain.addressing.endpoint import Endpoint
from domain.addressing.tunnel import client_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from tests.adapters.clock import FakeClock
from tests.adapters.entropy import SeededEntropy
from tests.adapters.handshake import ScriptedHandshake
from tests.adapters.log import RememberingLog
from tests.adapters.network_changes import FakeNetworkSurroundings
from tests.adapters.tun import FakeClientTunManager
from tests.adapters.udp import FakeDialer, FakeNetwork
from tests.adapters.worker import PipeWorker
from tests.application.bed import PROFILE

SERVER = "192.0.2.1"
TCP_PROFILE = replace(
    PROFILE,
    protocol=TransportProtocol.TCP,
    interface_name="fake1",
    ipv4_subnet=IPv4Network("10.0.0.0/24"),
    ipv6_subnet=None,
)


class SessionsEnd:
    """A router under which ``endings`` sessions end, one after the other; the next one lasts."""

    def __init__(self, endings: int) -> None:
        self.endings = endings
        self.sessions = 0
        self.lasting = asyncio.Event()

    async def run(self, worker: Worker) -> NoReturn:
        assert worker is not None
        self.sessions += 1
        if self.sessions > self.endings:
            self.lasting.set()
            await asyncio.Event().wait()
        raise SessionEndedError("the server fell silent")


class PipeWorkers:
    """Makes one worker for each session and remembers what it was made of."""

    def __init__(self) -> None:
        self.devices: list[TunDevice] = []
        self.transports: list[ClientTransport] = []
        self.worker = PipeWorker()

    def create(self, established: Established, tun: TunDevice) -> ProbingWorker:
        self.devices.append(tun)
        self.transports.append(established.transport)
        return self.worker

    def close(self) -> None:
        self.worker.__exit__(None, None, None)


class ForbiddingDialer(FakeDialer):
    async def dial(self, endpoint: Endpoint) -> NoReturn:
        raise DialForbiddenError(f"cannot open a path to {endpoint}: run as root")


class ForgetfulDialer(FakeDialer):
    """Resolves once; afterwards its resolver is out of reach."""

    resolved = False

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        if self.resolved:
            raise ResolutionError("cannot resolve")
        self.resolved = True
        return await super().resolve(profile)


class TellingDialer(FakeDialer):
    """Says in ``transcript`` what it is asked."""

    transcript: list[str]

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        self.transcript.append(f"look up for {profile.protocol.value}")
        return await super().resolve(profile)


class LateDialer(FakeDialer):
    """Its resolver comes to life after the first question."""

    asked = False

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        if not self.asked:
            self.asked = True
            raise ResolutionError("cannot resolve")
        return await super().resolve(profile)


class UnsteadyHandshake(ScriptedHandshake):
    """While the first one is on its last step, the network becomes another one."""

    def __init__(self, surroundings: FakeNetworkSurroundings) -> None:
        super().__init__({SERVER: 0.0})
        self._surroundings = surroundings

    async def establish(self, transport: ClientTransport) -> Established:
        established = await super().establish(transport)
        if len(self.established) == 1:
            self._surroundings.become("dev wlan0")
        return established


class Life:
    """One client with everything around it faked; its first transport is UDP."""

    def __init__(self, dialer: Callable[[FakeNetwork, str], FakeDialer] = FakeDialer) -> None:
        self.network = FakeNetwork()
        self.dialer = dialer(self.network, "198.51.100.7")
        self.handshake = ScriptedHandshake({SERVER: 0.0})
        self.tcp_handshake = ScriptedHandshake({SERVER: 0.0})
        self.tun_manager = FakeClientTunManager()
        self.surroundings = FakeNetworkSurroundings("dev eth0")
        self.log = RememberingLog()
        self.profile = PROFILE
        self.workers = PipeWorkers()

    def tunnel(self, router: Router, *, fallback: bool = False, ascent_after_s: float = 60.0) -> ClientTunnel:
        """A client, with TCP to fall back on or with UDP alone."""
        options = [self._option(self.profile, self.handshake)]
        if fallback:
            options.append(self._option(TCP_PROFILE, self.tcp_handshake))
        return ClientTunnel(
            options=options,
            ascent_after_s=ascent_after_s,
            tun_manager=self.tun_manager,
            router=router,
            clock=FakeClock(),
            entropy=SeededEntropy(),
            log=self.log,
            watch=lambda: nullcontext(self.surroundings),
        )

    def run(self, endings: int = 0, *, fallback: bool = False) -> PipeWorkers:
        """Live until a session lasts, then be cancelled; an error leaves as it is."""

        async def scenario() -> None:
            router = SessionsEnd(endings)
            living = asyncio.ensure_future(self.tunnel(router, fallback=fallback).run())
            lasting = asyncio.ensure_future(router.lasting.wait())
            async with asyncio.timeout(10):
                await asyncio.wait([living, lasting], return_when=asyncio.FIRST_COMPLETED)
            lasting.cancel()
            if living.done():
                await living
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)

        try:
            asyncio.run(scenario())
        finally:
            self.workers.close()
        return self.workers

    def _option(self, profile: TransportProfile, handshake: ScriptedHandshake) -> TransportOption:
        return TransportOption(
            profile=profile,
            addresses=client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, 1),
            dialer=self.dialer,
            handshake=handshake,
            workers=self.workers,
        )


def test_a_session_that_ends_is_followed_by_another_over_the_same_device() -> None:
    life = Life()
    workers = life.run(endings=2)
    assert len(workers.devices) == 3
    assert len(set(map(id, workers.devices))) == 1
    assert len(set(map(id, workers.transports))) == 3
    assert [transport.fileno() for transport in workers.transports] == [-1, -1, -1]
    assert life.log.messages.count("session ended, reconnecting") == 2
    assert not life.tun_manager.is_open


def test_the_device_comes_up_after_the_first_handshake_and_not_before() -> None:
    life = Life()
    life.handshake.delays_s = {}

    async def give_up_soon() -> None:
        async with asyncio.timeout(0.05):
            await life.tunnel(SessionsEnd(0)).run()

    with pytest.raises(TimeoutError):
        asyncio.run(give_up_soon())
    life.workers.close()
    assert life.tun_manager.transcript == []
    assert life.log.messages == ["cannot connect, trying again"]


def test_a_host_that_cannot_have_a_tunnel_ends_the_client() -> None:
    life = Life()
    life.tun_manager.open_failures[PROFILE.interface_name] = TunUnavailableError("no /dev/net/tun")
    with pytest.raises(TunUnavailableError):
        life.run()
    assert [path.fileno() for path in life.handshake.established] == [-1]


def test_a_process_without_the_rights_ends_the_client() -> None:
    with pytest.raises(DialForbiddenError, match="run as root"):
        Life(ForbiddingDialer).run()


def test_a_resolver_that_dies_with_the_tunnel_does_not_keep_it_down() -> None:
    life = Life(ForgetfulDialer)
    life.profile = replace(PROFILE, server=ServerAddress(domain="vpn.example.org"))
    life.network.names = {"vpn.example.org": [SERVER]}
    assert len(life.run(endings=1).transports) == 2


def test_all_names_are_looked_up_before_the_tunnel_is_the_only_way_to_a_resolver() -> None:
    life = Life(TellingDialer)
    assert isinstance(life.dialer, TellingDialer)
    life.dialer.transcript = life.tun_manager.transcript
    life.run(fallback=True)
    assert life.tun_manager.transcript[:3] == ["look up for UDP", "look up for TCP", "hold"]


def test_without_any_address_the_client_says_so_and_tries_again() -> None:
    life = Life(LateDialer)
    assert len(life.run().transports) == 1
    assert life.log.messages[0] == "cannot connect, trying again"
    assert life.log.messages.count("connected") == 1


def test_a_transport_without_an_answer_is_followed_by_the_next_one() -> None:
    life = Life()
    life.handshake.delays_s = {}
    life.run(fallback=True)
    assert [profile.protocol for profile in life.tun_manager.profiles] == [TransportProtocol.TCP]
    assert life.log.messages == ["cannot connect, trying again", "connected", "tunnel is up"]
    assert [event.fields["protocol"] for event in life.log.events] == ["UDP", "TCP", "TCP"]


def test_after_a_lost_session_the_transport_that_worked_is_tried_first() -> None:
    life = Life()
    life.handshake.delays_s = {}
    life.run(endings=2, fallback=True)
    assert len(life.handshake.attempted) == 1
    assert len(life.tcp_handshake.established) == 3
    assert life.tun_manager.transcript.count("open fake1") == 1


def test_a_better_transport_that_works_again_takes_over_without_a_gap_to_the_clear() -> None:
    life = Life()
    life.handshake.delays_s = {}

    async def scenario() -> None:
        living = asyncio.ensure_future(life.tunnel(SessionsEnd(0), fallback=True, ascent_after_s=0.01).run())
        async with asyncio.timeout(10):
            while not life.tcp_handshake.established:
                await asyncio.sleep(0.001)
            while len(life.handshake.attempted) < 3:  # in vain
                await asyncio.sleep(0.001)
            life.handshake.delays_s = {SERVER: 0.0}
            while len(life.tun_manager.opened) < 2:
                await asyncio.sleep(0.001)
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)

    asyncio.run(scenario())
    life.workers.close()
    assert life.tun_manager.transcript == [
        "hold",
        "open fake1",
        "close fake1",
        "open fake0",
        "close fake0",
        "release",
    ]
    paths = [*life.tcp_handshake.established, *life.handshake.established]
    assert [path.fileno() for path in paths] == [-1, -1]


def test_the_best_transport_is_never_left_for_a_worse_one() -> None:
    life = Life()
    life.run(endings=2, fallback=True)
    assert life.tcp_handshake.attempted == []
    assert len(life.handshake.established) == 3


def reached(wanted: int, count: Callable[[], int]) -> bool:
    return count() == wanted


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def live(life: Life, router: Router, scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run the client of ``life`` while ``scenario`` runs."""

    async def both() -> None:
        living = asyncio.ensure_future(life.tunnel(router).run())
        try:
            await scenario()
            assert not living.done()
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)

    try:
        asyncio.run(both())
    finally:
        life.workers.close()


def test_every_change_of_the_network_has_the_session_tried_and_nothing_else() -> None:
    life = Life()
    router = SessionsEnd(0)

    async def scenario() -> None:
        await router.lasting.wait()
        for number, network in enumerate(("dev wlan0", "dev eth0"), start=1):
            life.surroundings.become(network)
            await until(partial(reached, number, lambda: life.workers.worker.probes))

    live(life, router, scenario)
    assert router.sessions == 1
    assert len(life.handshake.established) == 1


def test_a_session_that_did_not_survive_a_change_of_the_network_is_replaced_without_a_pause() -> None:
    life = Life()
    router = SessionsEnd(0)

    async def scenario() -> None:
        await router.lasting.wait()
        life.workers.worker.failure = NetworkChangedError("the network has changed")
        life.surroundings.become("dev wlan0")
        async with asyncio.timeout(0.4):  # no pause is shorter than 0.5 s
            await until(lambda: router.sessions == 2)

    live(life, router, scenario)
    assert life.log.messages.count("session ended, reconnecting") == 1
    assert len(life.tun_manager.opened) == 1
    assert [transport.fileno() for transport in life.workers.transports] == [-1, -1]


def test_a_change_of_the_network_ends_the_pause_between_attempts() -> None:
    life = Life()
    life.handshake.delays_s = {}
    router = SessionsEnd(0)

    async def scenario() -> None:
        await until(lambda: len(life.handshake.attempted) == 1)
        life.handshake.delays_s = {SERVER: 0.0}
        life.surroundings.become("dev wlan0")
        async with asyncio.timeout(0.4):
            await router.lasting.wait()

    live(life, router, scenario)


def test_a_change_of_the_network_ends_the_pause_after_a_lost_session() -> None:
    life = Life()
    router = SessionsEnd(1)

    async def scenario() -> None:
        await until(lambda: "session ended, reconnecting" in life.log.messages)
        life.surroundings.become("dev wlan0")
        async with asyncio.timeout(0.4):
            await router.lasting.wait()

    live(life, router, scenario)
    assert len(life.handshake.established) == 2


def test_a_change_of_the_network_begins_an_attempt_anew_that_is_under_way() -> None:
    life = Life()
    life.handshake.delays_s = {SERVER: 60.0}
    router = SessionsEnd(0)

    async def scenario() -> None:
        await until(lambda: len(life.handshake.attempted) == 1)
        life.handshake.delays_s = {SERVER: 0.0}
        life.surroundings.become("dev wlan0")
        async with asyncio.timeout(0.4):
            await router.lasting.wait()

    live(life, router, scenario)
    assert "cannot connect, trying again" not in life.log.messages
    assert len(life.handshake.attempted) == 2


def test_a_session_that_begins_while_the_network_changes_is_closed_and_replaced() -> None:
    life = Life()
    life.handshake = UnsteadyHandshake(life.surroundings)
    router = SessionsEnd(0)

    async def scenario() -> None:
        await router.lasting.wait()

    live(life, router, scenario)
    assert [transport.fileno() for transport in life.handshake.established] == [-1, -1]
    assert life.workers.transports == life.handshake.established[1:]


def test_after_a_change_of_the_network_the_pauses_begin_anew() -> None:
    life = Life()
    life.handshake.delays_s = {}
    router = SessionsEnd(0)

    async def scenario() -> None:
        for number in range(1, 8):  # the seventh pause in a row takes 15 s at least
            await until(partial(reached, number, lambda: len(life.handshake.attempted)))
            life.surroundings.become(f"dev eth{number}")
        await until(lambda: len(life.handshake.attempted) == 8)
        life.handshake.delays_s = {SERVER: 0.0}
        async with asyncio.timeout(2):
            await router.lasting.wait()

    live(life, router, scenario)


def test_a_network_that_stays_as_it_is_leaves_the_session_alone() -> None:
    life = Life()
    router = SessionsEnd(0)

    async def scenario() -> None:
        await router.lasting.wait()
        life.surroundings.become("dev eth0")
        await asyncio.sleep(0.01)

    live(life, router, scenario)
    assert life.workers.worker.probes == 0
