"""Reaching the server over one transport, once or until it works."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from application.client.option import Link, TransportOption
from application.client.race import first_to_answer
from application.network.connection.handshake import Established, HandshakeFailedError
from application.network.connection.transport import ResolutionError, TransportError
from application.runtime.log import EventLog
from domain.addressing.endpoint import Endpoint

# Ours: the longest pause between two looks at whether a better transport works again. A look costs a few
# packets where it is blocked for good, and the network of a laptop that stays on is the same for hours.
LONGEST_PAUSE_S: Final = 600.0

# Ours: how long a look-up may take when there are addresses to fall back on. With the tunnel down, the
# resolver that is asked may be one behind it.
LOOK_UP_LIMIT_S: Final = 1.0


class Dialling:
    """From the look-up of the server's name to a session, over one transport."""

    def __init__(self, option: TransportOption, log: EventLog) -> None:
        self.option = option
        self._limit_s = option.profile.connect_timeout_ms / 1000
        self._log = log
        self._known_endpoints: list[Endpoint] = []

    async def attempt(self) -> Link:
        """One attempt at every endpoint of the server. Raises TransportError, HandshakeFailedError."""
        endpoints = await self._endpoints()
        established = await first_to_answer([partial(self._attempt_at, endpoint) for endpoint in endpoints])
        self._log.info(
            "connected",
            server=str(established.transport.remote_endpoint),
            protocol=self.option.profile.protocol.value,
        )
        return Link(self.option, established)

    async def _attempt_at(self, endpoint: Endpoint) -> Established:
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._establish_at(endpoint)
        except TimeoutError:
            raise HandshakeFailedError(
                f"no valid answer from {endpoint} within {self._limit_s:g} s: "
                "check that the server runs there and that it knows this client's key"
            ) from None

    async def _establish_at(self, endpoint: Endpoint) -> Established:
        transport = await self.option.dialer.dial(endpoint)
        try:
            return await self.option.handshake.establish(transport)
        except BaseException:
            transport.close()
            raise

    async def look_up(self) -> None:
        """Look the server's name up, for the time when the resolver is out of reach; may fail in silence."""
        if not self._known_endpoints:
            with suppress(TransportError, TimeoutError):
                async with asyncio.timeout(LOOK_UP_LIMIT_S):
                    self._known_endpoints = await self.option.dialer.resolve(self.option.profile)

    async def _endpoints(self) -> list[Endpoint]:
        # While the tunnel's routes are up and the tunnel is down, the resolver may be out of reach: then the
        # addresses of the last successful look-up are the best that is known.
        limit_s = min(self._limit_s, LOOK_UP_LIMIT_S) if self._known_endpoints else self._limit_s
        try:
            async with asyncio.timeout(limit_s):
                self._known_endpoints = await self.option.dialer.resolve(self.option.profile)
        except TransportError:
            if not self._known_endpoints:
                raise
        except TimeoutError:
            if not self._known_endpoints:
                raise ResolutionError("the resolver does not answer: check the network and its DNS") from None
        return self._known_endpoints


async def first_that_works_again(diallings: Sequence[Dialling], first_pause_s: float) -> Link:
    """Try ``diallings`` in order until one succeeds, first after ``first_pause_s``, then ever more seldom."""
    pause_s = first_pause_s
    while True:
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        for dialling in diallings:
            try:
                return await dialling.attempt()
            except (TransportError, HandshakeFailedError):
                continue  # it is no worse than before
