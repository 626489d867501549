"""The server's life: one tunnel per enabled transport."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from application.network.routing.router import Router
from application.network.routing.tun import TunManager
from application.network.routing.worker import ServerWorkerFactory
from application.network.udp.listener import UdpListener
from application.runtime.log import EventLog
from application.server.follow import FollowConfiguration


class ServerTunnel(Protocol):
    """One transport of the server."""

    async def run(self) -> NoReturn:
        """Serve until cancelled; cancelling undoes everything. Raises UdpError, TunError."""
        ...


class UdpServerTunnel:
    """Serves all peers of one UDP listener."""

    def __init__(
        self,
        *,
        open_listener: Callable[[], UdpListener],
        tun_manager: TunManager,
        workers: ServerWorkerFactory,
        router: Router,
        log: EventLog,
    ) -> None:
        self._open_listener = open_listener
        self._tun_manager = tun_manager
        self._workers = workers
        self._router = router
        self._log = log

    async def run(self) -> NoReturn:
        """See ServerTunnel."""
        # The port first: if another server has it, nothing on the host needs to be touched.
        listener = self._open_listener()
        try:
            async with self._tun_manager.open() as tun:
                self._log.info(
                    "listening", protocol="UDP", endpoint=str(listener.local_endpoint), interface=tun.name
                )
                await self._router.run(self._workers.create(listener, tun))
        finally:
            listener.close()


class Server:
    """All tunnels of one server process; the first that fails stops the others.

    ``follow`` keeps the access list up to date meanwhile.
    """

    def __init__(self, tunnels: Sequence[ServerTunnel], follow: FollowConfiguration) -> None:
        self._tunnels = tunnels
        self._follow = follow

    async def run(self) -> None:
        """Serve until cancelled. Raises the UdpError or TunError of the first tunnel that failed."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow.run())
                for tunnel in self._tunnels:
                    group.create_task(tunnel.run())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
