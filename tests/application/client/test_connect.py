"""A client's life: it connects, forwards, and connects again, and some errors end it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import pytest

from application.client.connect import ClientTunnel
from application.network.connection.handshake import Established
from application.network.connection.transport import ClientTransport, DialForbiddenError, ResolutionError
from application.network.routing.tun import TunDevice, TunUnavailableError
from application.network.routing.worker import SessionEndedError, Worker
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import ServerAddress, TransportProfile
from tests.adapters.clock import FakeClock
from tests.adapters.entropy import SeededEntropy
from tests.adapters.handshake import ScriptedHandshake
from tests.adapters.log import RememberingLog
from tests.adapters.tun import FakeTunManager
from tests.adapters.udp import FakeDialer, FakeNetwork
from tests.adapters.worker import PipeWorker
from tests.application.bed import PROFILE

SERVER = "192.0.2.1"


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
        self._worker = PipeWorker()

    def create(self, established: Established, tun: TunDevice) -> Worker:
        self.devices.append(tun)
        self.transports.append(established.transport)
        return self._worker

    def close(self) -> None:
        self._worker.__exit__(None, None, None)


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


class LateDialer(FakeDialer):
    """Its resolver comes to life after the first question."""

    asked = False

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        if not self.asked:
            self.asked = True
            raise ResolutionError("cannot resolve")
        return await super().resolve(profile)


class Life:
    """One client with everything around it faked."""

    def __init__(self, dialer: Callable[[FakeNetwork, str], FakeDialer] = FakeDialer) -> None:
        self.network = FakeNetwork()
        self.dialer = dialer(self.network, "198.51.100.7")
        self.handshake = ScriptedHandshake({SERVER: 0.0})
        self.tun_manager = FakeTunManager()
        self.log = RememberingLog()
        self.profile = PROFILE

    def run(self, endings: int = 0) -> PipeWorkers:
        """Live until a session lasts, then be cancelled; an error leaves as it is."""
        workers = PipeWorkers()

        async def scenario() -> None:
            router = SessionsEnd(endings)
            tunnel = ClientTunnel(
                profile=self.profile,
                dialer=self.dialer,
                handshake=self.handshake,
                tun_manager=self.tun_manager,
                workers=workers,
                router=router,
                clock=FakeClock(),
                entropy=SeededEntropy(),
                log=self.log,
            )
            living = asyncio.ensure_future(tunnel.run())
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
            workers.close()
        return workers


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
        tunnel = ClientTunnel(
            profile=life.profile,
            dialer=life.dialer,
            handshake=life.handshake,
            tun_manager=life.tun_manager,
            workers=PipeWorkers(),
            router=SessionsEnd(0),
            clock=FakeClock(),
            entropy=SeededEntropy(),
            log=life.log,
        )
        async with asyncio.timeout(0.05):
            await tunnel.run()

    with pytest.raises(TimeoutError):
        asyncio.run(give_up_soon())
    assert life.tun_manager.opened == []
    assert life.log.messages == ["cannot connect, trying again"]


def test_a_host_that_cannot_have_a_tunnel_ends_the_client() -> None:
    life = Life()
    life.tun_manager.failure = TunUnavailableError("no /dev/net/tun")
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


def test_without_any_address_the_client_says_so_and_tries_again() -> None:
    life = Life(LateDialer)
    assert len(life.run().transports) == 1
    assert life.log.messages[0] == "cannot connect, trying again"
    assert life.log.messages.count("connected") == 1
