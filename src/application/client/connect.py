"""The client's life: connect, forward, reconnect."""

import asyncio
from functools import partial
from typing import NoReturn

from application.client.race import first_to_answer
from application.network.connection.handshake import Established, Handshake, HandshakeFailedError
from application.network.connection.transport import (
    Dialer,
    DialForbiddenError,
    ResolutionError,
    TransportError,
)
from application.network.routing.router import Router
from application.network.routing.tun import TunDevice, TunManager
from application.network.routing.worker import ClientWorkerFactory, SessionEndedError
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from domain.addressing.endpoint import Endpoint
from domain.session.backoff import ReconnectBackoff
from domain.settings.profile import TransportProfile


class ClientTunnel:
    """Keeps one tunnel up until it is cancelled.

    The TUN device and its routes come up after the first handshake and stay through every reconnect, so
    that traffic never falls back to the clear while the client runs.
    """

    def __init__(
        self,
        *,
        profile: TransportProfile,
        dialer: Dialer,
        handshake: Handshake,
        tun_manager: TunManager,
        workers: ClientWorkerFactory,
        router: Router,
        clock: Clock,
        entropy: Entropy,
        log: EventLog,
    ) -> None:
        self._profile = profile
        self._dialer = dialer
        self._handshake = handshake
        self._tun_manager = tun_manager
        self._workers = workers
        self._router = router
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self._backoff = ReconnectBackoff()
        self._known_endpoints: list[Endpoint] = []

    async def run(self) -> NoReturn:
        """Connect and forward for ever; cancelling is the way to stop, and undoes everything.

        Raises what trying again would not help against: TunError if the host cannot have the tunnel,
        DialForbiddenError if the process has not the rights.
        """
        established = await self._connect()
        try:
            async with self._tun_manager.open() as tun:
                self._log.info("tunnel is up", interface=tun.name)
                while True:
                    await self._forward(established, tun)
                    established = await self._connect()
        finally:
            established.transport.close()

    async def _forward(self, established: Established, tun: TunDevice) -> None:
        started_s = self._clock.monotonic_s()
        try:
            await self._router.run(self._workers.create(established, tun))
        except SessionEndedError as error:
            self._log.warning("session ended, reconnecting", reason=str(error))
        finally:
            established.transport.close()
        self._backoff.session_ended(self._clock.monotonic_s() - started_s)
        await self._pause()

    async def _connect(self) -> Established:
        while True:
            try:
                return await self._attempt()
            except DialForbiddenError:
                raise
            except (TransportError, HandshakeFailedError) as error:
                self._log.warning("cannot connect, trying again", reason=str(error))
            await self._pause()

    async def _attempt(self) -> Established:
        endpoints = await self._endpoints()
        established = await first_to_answer([partial(self._attempt_at, endpoint) for endpoint in endpoints])
        self._log.info("connected", server=str(established.transport.remote_endpoint))
        return established

    async def _attempt_at(self, endpoint: Endpoint) -> Established:
        transport = await self._dialer.dial(endpoint)
        try:
            return await self._handshake.establish(transport)
        except BaseException:
            transport.close()
            raise

    async def _endpoints(self) -> list[Endpoint]:
        # While the tunnel's routes are up and the tunnel is down, the resolver may be out of reach: then the
        # addresses of the last successful look-up are the best that is known.
        try:
            async with asyncio.timeout(self._profile.connect_timeout_ms / 1000):
                self._known_endpoints = await self._dialer.resolve(self._profile)
        except TransportError:
            if not self._known_endpoints:
                raise
        except TimeoutError:
            if not self._known_endpoints:
                raise ResolutionError("the resolver does not answer: check the network and its DNS") from None
        return self._known_endpoints

    async def _pause(self) -> None:
        jitter = int.from_bytes(self._entropy.random_bytes(2)) / 0x1_0000
        await asyncio.sleep(self._backoff.next_delay_s(jitter))
