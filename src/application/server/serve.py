"""The server's life: one tunnel per enabled transport."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

from application.network.routing.router import Router
from application.network.routing.tun import TunManager
from application.runtime.log import EventLog
from application.server.follow import FollowConfiguration
from application.server.reception import Reception, ServerWorkerFactory
from domain.settings.profile import TransportProtocol


class ServerTunnel:
    """One transport of the server: a listener and the TUN device behind it."""

    def __init__(
        self,
        *,
        protocol: TransportProtocol,
        open_reception: Callable[[], Reception],
        tun_manager: TunManager,
        workers: ServerWorkerFactory,
        router: Router,
        log: EventLog,
    ) -> None:
        self._protocol = protocol
        self._open_reception = open_reception
        self._tun_manager = tun_manager
        self._workers = workers
        self._router = router
        self._log = log

    async def run(self) -> NoReturn:
        """Serve until cancelled; cancelling undoes everything. Raises UdpError, TransportError, TunError."""
        # The port first: if another server has it, nothing on the host needs to be touched.
        reception = self._open_reception()
        try:
            async with self._tun_manager.open() as tun:
                self._log.info(
                    "listening",
                    protocol=self._protocol.value,
                    endpoint=str(reception.local_endpoint),
                    interface=tun.name,
                )
                await self._router.run(self._workers.create(reception, tun))
        finally:
            reception.close()


class Server:
    """All tunnels of one server process; the first that fails stops the others.

    ``follow`` keeps the access list up to date meanwhile.
    """

    def __init__(self, tunnels: Sequence[ServerTunnel], follow: FollowConfiguration) -> None:
        self._tunnels = tunnels
        self._follow = follow

    async def run(self) -> None:
        """Serve until cancelled. Raises the error of the first tunnel that failed."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow.run())
                for tunnel in self._tunnels:
                    group.create_task(tunnel.run())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
