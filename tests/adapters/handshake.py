"""A handshake whose outcome the test decides."""

import asyncio

from application.network.connection.handshake import Established, Handshake, HandshakeFailedError
from application.network.connection.transport import ClientTransport
from domain.addressing.endpoint import Endpoint
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.session.datagram import DatagramSession
from domain.session.plain_parcels import PlainParcels
from tests.adapters.primitives import PlainPrimitives


class ScriptedHandshake:
    """``delays_s`` says how long each host's answer takes; a host that is not in it never answers right.

    ``established`` has the transports that got a session, in order.
    """

    def __init__(self, delays_s: dict[str, float]) -> None:
        self.delays_s = delays_s
        self.established: list[ClientTransport] = []
        self.attempted: list[Endpoint] = []

    async def establish(self, transport: ClientTransport) -> Established:
        self.attempted.append(transport.remote_endpoint)
        delay_s = self.delays_s.get(transport.remote_endpoint.host)
        if delay_s is None:
            raise HandshakeFailedError(f"no valid answer from {transport.remote_endpoint}")
        await asyncio.sleep(delay_s)
        self.established.append(transport)
        keys = EpochKeys(bytes(32), bytes(32))
        session_id = SessionId(bytes(32))
        return Established(
            transport=transport,
            crypto=PlainParcels(DatagramSession(PlainPrimitives(), Role.CLIENT, session_id, keys)),
            session_id=session_id,
            keys=keys,
            rekey_v2=True,
            aggregated=False,
        )


_: type[Handshake] = ScriptedHandshake
