"""The client's handshake over a path of any kind."""

import asyncio
from collections.abc import Callable
from math import isfinite

from application.network.connection.crypto import ParcelCrypto
from application.network.connection.handshake import Established, Handshake, HandshakeFailedError
from application.network.connection.transport import ClientTransport
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from domain.noise.client import ClientHandshake
from domain.noise.client import Established as HandshakeResult
from domain.noise.errors import HandshakeError
from domain.noise.keys import EpochKeys, SessionId


class NoiseHandshake:
    """Drives one ``ClientHandshake`` machine per path until it has a session.

    ``machine`` makes one for the path's kind of delivery, ``crypto_for`` the session's frames, aggregated
    ones if so agreed.
    """

    def __init__(
        self,
        *,
        machine: Callable[[], ClientHandshake],
        crypto_for: Callable[[SessionId, EpochKeys, bool], ParcelCrypto],
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._machine = machine
        self._crypto_for = crypto_for
        self._clock = clock
        self._entropy = entropy

    async def establish(self, transport: ClientTransport) -> Established:
        """See Handshake."""
        try:
            result = await self._exchange(transport)
        except HandshakeError as error:
            raise HandshakeFailedError(f"{transport.remote_endpoint}: {error}") from error
        if result.aggregated:
            transport.take_long_frames()
        return Established(
            transport=transport,
            crypto=self._crypto_for(result.session_id, result.keys, result.aggregated),
            session_id=result.session_id,
            keys=result.keys,
            rekey_v2=result.rekey_v2,
            aggregated=result.aggregated,
        )

    async def _exchange(self, transport: ClientTransport) -> HandshakeResult:
        machine = self._machine()
        random_bytes = self._entropy.random_bytes
        await transport.send_message(machine.start(self._clock.monotonic_s(), random_bytes))
        while True:
            pause_s = machine.next_deadline() - self._clock.monotonic_s()
            try:
                async with asyncio.timeout(pause_s if isfinite(pause_s) else None):
                    message = await transport.receive_message()
            except TimeoutError:
                await transport.send_message(machine.handle_timer(self._clock.monotonic_s(), random_bytes))
                continue
            match machine.receive(message, self._clock.monotonic_s(), random_bytes):
                case HandshakeResult() as result:
                    return result
                case bytes() as reply:
                    await transport.send_message(reply)
                case None:
                    pass


_: type[Handshake] = NoiseHandshake
