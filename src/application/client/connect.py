"""The client's life: connect, forward, reconnect, and use the best transport that works."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import NoReturn

from application.client.control import NetworkChangedError
from application.client.dialling import Dialling, first_that_works_again
from application.client.option import Link, TransportOption
from application.network.connection.handshake import HandshakeFailedError
from application.network.connection.transport import DialForbiddenError, TransportError
from application.network.routing.changes import NetworkChanges, WatchNetwork
from application.network.routing.router import Router
from application.network.routing.tun import ClientTunManager, TunDevice
from application.network.routing.worker import ProbingWorker, SessionEndedError
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from domain.session.backoff import ReconnectBackoff


class ClientTunnel:
    """Keeps one tunnel up until it is cancelled.

    ``options`` are the transports in order of preference, at least one. In use is the one that worked last,
    as long as it works; when it does not, the first of the others, in order, that does; and a better one as
    soon as a handshake over it succeeds, which is tried time and again from ``ascent_after_s`` on.

    When the network around the host changes, the session is tried at once and given up soon if it is
    dead; attempts to connect begin anew, and no pause between them is waited out. ``watch`` is how that is
    noticed; without it, nobody watches.

    The TUN device and its routes come up after the first handshake and stay through every reconnect, so
    that traffic never falls back to the clear while the client runs. Another transport means other tunnel
    addresses and another device; in between, nothing gets out.
    """

    def __init__(
        self,
        *,
        options: Sequence[TransportOption],
        ascent_after_s: float,
        tun_manager: ClientTunManager,
        router: Router,
        clock: Clock,
        entropy: Entropy,
        log: EventLog,
        watch: WatchNetwork | None = None,
    ) -> None:
        self._diallings = [Dialling(option, log) for option in options]
        self._ascent_after_s = ascent_after_s
        self._tun_manager = tun_manager
        self._router = router
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self._watch: WatchNetwork = watch or _unwatched
        self._changes: NetworkChanges = _Unchanging()
        self._backoff = ReconnectBackoff()

    async def run(self) -> NoReturn:
        """Connect and forward for ever; cancelling is the way to stop, and undoes everything.

        Raises what trying again would not help against: TunError if the host cannot have the tunnel,
        DialForbiddenError if the process has not the rights.
        """
        async with self._watch() as self._changes:
            link = await self._connect(self._diallings, at_once=True)
            try:
                # From here on the resolver may be one that is reached through the tunnel alone.
                await asyncio.gather(*[dialling.look_up() for dialling in self._diallings])
                async with self._tun_manager.hold():
                    while True:
                        link = await self._use_transport(link)
            finally:
                link.established.transport.close()

    async def _use_transport(self, link: Link) -> Link:
        """Forward over the transport of ``link`` until there is a session over another one; returns that."""
        option = link.option
        try:
            async with self._tun_manager.open(option.profile, option.addresses) as tun:
                self._log.info("tunnel is up", interface=tun.name, protocol=option.profile.protocol.value)
                while link.option is option:
                    link = await self._use_session(link, tun)
                return link
        except BaseException:
            link.established.transport.close()
            raise

    async def _use_session(self, link: Link, tun: TunDevice) -> Link:
        """Forward until the session ends or a better transport works; returns the session to go on with."""
        started_s = self._clock.monotonic_s()
        network_changed = False
        try:
            return await self._forward_or_ascend(link, tun)
        except SessionEndedError as error:
            self._log.warning("session ended, reconnecting", reason=str(error))
            network_changed = isinstance(error, NetworkChangedError)
        finally:
            link.established.transport.close()
        if network_changed:
            self._backoff = ReconnectBackoff()
        else:
            self._backoff.session_ended(self._clock.monotonic_s() - started_s)
        return await self._connect(self._worked_first(link.option), at_once=network_changed)

    async def _forward_or_ascend(self, link: Link, tun: TunDevice) -> Link:
        """Forward until a better transport works. Raises SessionEndedError, TunClosedError."""
        worker = link.option.workers.create(link.established, tun)
        forwarding = asyncio.ensure_future(self._forward(worker))
        ascending = asyncio.ensure_future(
            first_that_works_again(self._better_than(link.option), self._ascent_after_s)
        )
        try:
            await asyncio.wait((forwarding, ascending), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _abandon(forwarding, ascending)
            _close_if_connected(ascending)
            raise
        await _abandon(forwarding, ascending)
        if ascending.cancelled():
            return forwarding.result()
        reached = ascending.result()
        self._log.info("a better transport works again", protocol=reached.option.profile.protocol.value)
        return reached

    async def _forward(self, worker: ProbingWorker) -> NoReturn:
        """Drive ``worker`` until it raises; after each change of the network it tries the session."""
        driving = asyncio.ensure_future(self._router.run(worker))
        probing = asyncio.ensure_future(self._probe_after_changes(worker))
        try:
            [ended, *_], _ = await asyncio.wait((driving, probing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _abandon(driving, probing)
        ended.result()
        raise AssertionError("neither of the two ends but by an exception")

    async def _probe_after_changes(self, worker: ProbingWorker) -> NoReturn:
        while True:
            await self._changes.wait()
            worker.probe()

    async def _connect(self, order: Sequence[Dialling], *, at_once: bool) -> Link:
        """A session over the first of ``order`` that gives one; the first attempt is ``at_once`` or after a
        pause.

        What was begun in another network is abandoned and begun anew: its questions went out by a way that
        may be gone, from an address that may be gone.
        """
        while True:
            attempting = asyncio.ensure_future(self._attempt_until_it_works(order, at_once=at_once))
            changing = asyncio.ensure_future(self._changes.wait())
            try:
                await asyncio.wait((attempting, changing), return_when=asyncio.FIRST_COMPLETED)
                has_changed = changing.done()
                await _abandon(changing)
                if not has_changed:
                    return attempting.result()
                await _abandon(attempting)
            except BaseException:
                await _abandon(attempting, changing)
                _close_if_connected(attempting)
                raise
            _close_if_connected(attempting)
            self._backoff = ReconnectBackoff()
            at_once = True

    async def _attempt_until_it_works(self, order: Sequence[Dialling], *, at_once: bool) -> Link:
        if not at_once:
            await self._pause()
        while True:
            for dialling in order:
                try:
                    return await dialling.attempt()
                except DialForbiddenError:
                    raise
                except (TransportError, HandshakeFailedError) as error:
                    self._log.warning(
                        "cannot connect, trying again",
                        protocol=dialling.option.profile.protocol.value,
                        reason=str(error),
                    )
            await self._pause()

    def _better_than(self, option: TransportOption) -> list[Dialling]:
        return list(takewhile(lambda dialling: dialling.option is not option, self._diallings))

    def _worked_first(self, option: TransportOption) -> list[Dialling]:
        return sorted(self._diallings, key=lambda dialling: dialling.option is not option)

    async def _pause(self) -> None:
        """Wait until the next attempt is due."""
        jitter = int.from_bytes(self._entropy.random_bytes(2)) / 0x1_0000
        await asyncio.sleep(self._backoff.next_delay_s(jitter))


@asynccontextmanager
async def _unwatched() -> AsyncIterator[NetworkChanges]:
    yield _Unchanging()


class _Unchanging:
    """NetworkChanges that nobody sees."""

    async def wait(self) -> None:
        """Never returns."""
        await asyncio.get_running_loop().create_future()


async def _abandon(*tasks: asyncio.Future[Link] | asyncio.Future[NoReturn] | asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _close_if_connected(ended: asyncio.Future[Link]) -> None:
    if not ended.cancelled() and not ended.exception():
        ended.result().established.transport.close()
