"""A server and its clients over byte streams in memory: real workers and sessions, no sockets."""

import asyncio
from dataclasses import replace

from application.server.streams import StreamReception
from domain.addressing.endpoint import Endpoint
from domain.addressing.peers import Peer
from domain.rekey.rules import REKEY_INTERVAL_S, Carrier
from domain.session.aggregated_stream import LARGEST_AGGREGATED_BODY_BYTES
from domain.session.framing import LARGEST_BODY_BYTES
from domain.settings.profile import TransportProtocol
from tests.adapters.clock import FakeClock
from tests.adapters.streams import FakeStreamDialer, FakeStreamNetwork, FakeStreamTransport
from tests.application.bed import PROFILE, CommonClientEnd, CommonServerEnd, key_pair

SERVER = Endpoint("192.0.2.1", 8080)
TCP_PROFILE = replace(PROFILE, protocol=TransportProtocol.TCP, port=SERVER.port)


class StreamServerEnd(CommonServerEnd):
    """A server worker behind one stream listener."""

    def __init__(
        self, network: FakeStreamNetwork, clock: FakeClock, peers: list[Peer], *, aggregated: bool = False
    ) -> None:
        super().__init__(TCP_PROFILE, Carrier.STREAM, clock, peers, aggregated=aggregated)
        self.listener = network.listen(SERVER)
        self.reception = StreamReception(
            listener=self.listener,
            sessions=self.sessions,
            registrar=self.registrar,
            clock=clock,
            counters=self.counters,
            log=self.log,
        )
        self.worker = self.worker_behind(self.reception)

    def reasons(self) -> list[object]:
        """Why connections ended that had no session, as the log tells it."""
        return [
            event.fields["reason"]
            for event in self.log.events
            if event.message == "connection without a session ended"
        ]

    def drain(self) -> None:
        """Handle the connections until nothing has come, then the TUN device."""
        while self.listener.knocking or any(end.readable for end in self.listener.connections):
            self.worker.handle_transport()
        while self.worker.next_deadline_s() == 0.0:
            self.worker.handle_timer()
        while self.tun.waiting:
            self.worker.handle_tun()


class StreamClientEnd(CommonClientEnd[FakeStreamTransport]):
    """A client over a byte stream."""

    def __init__(
        self,
        network: FakeStreamNetwork,
        clock: FakeClock,
        client_id: int,
        rekey_interval_s: float = REKEY_INTERVAL_S,
        *,
        aggregated: bool = False,
    ) -> None:
        super().__init__(
            TCP_PROFILE, Carrier.STREAM, clock, client_id, rekey_interval_s, aggregated=aggregated
        )
        self.dialer = FakeStreamDialer(
            network,
            "198.51.100.7",
            largest_body_bytes=LARGEST_AGGREGATED_BODY_BYTES if aggregated else LARGEST_BODY_BYTES,
        )

    async def connect(self, server: StreamServerEnd) -> None:
        """See ``shake_hands``."""
        await self.shake_hands(await self.dialer.dial(SERVER), server.drain)

    def drain(self) -> None:
        """See CommonClientEnd."""
        while self.tun.waiting:
            self.worker.handle_tun()
        while self.transport.end.readable:
            self.worker.handle_transport()


class StreamBed:
    """One server and ``count`` connected clients."""

    def __init__(
        self, count: int = 1, *, rekey_interval_s: float = REKEY_INTERVAL_S, aggregated: bool = False
    ) -> None:
        self.network = FakeStreamNetwork()
        self.clock = FakeClock()
        peers = [Peer(key_pair(n).public, n, f"client-{n}") for n in range(1, count + 1)]
        self.server = StreamServerEnd(self.network, self.clock, peers, aggregated=aggregated)
        self.clients = [
            StreamClientEnd(self.network, self.clock, n, rekey_interval_s, aggregated=aggregated)
            for n in range(1, count + 1)
        ]
        for client in self.clients:
            self.connect(client)

    def connect(self, client: StreamClientEnd) -> None:
        asyncio.run(client.connect(self.server))

    def settle(self) -> None:
        """Let everything that is on its way arrive."""
        while self._busy():
            self.server.drain()
            for client in self.clients:
                client.drain()

    def _busy(self) -> bool:
        server = self.server
        return bool(
            server.tun.waiting
            or server.listener.knocking
            or any(end.readable for end in server.listener.connections)
            or any(client.tun.waiting or client.transport.end.readable for client in self.clients)
        )
