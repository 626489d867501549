"""A server and its clients over byte streams in memory: real workers and sessions, no sockets."""

import asyncio
from dataclasses import replace

from application.client.control import ClientControl
from application.client.forward import ClientWorker
from application.client.handshake import NoiseHandshake
from application.network.routing.counters import TunnelCounters
from application.server.forward import ServerWorker
from application.server.register import Registrar
from application.server.sessions import SessionRepository
from application.server.streams import StreamReception
from domain.addressing.endpoint import Endpoint
from domain.addressing.peers import AccessList, Peer
from domain.addressing.sources import AllowedSources
from domain.addressing.tunnel import client_addresses
from domain.noise.client import ClientHandshake, Delivery
from domain.noise.cookie import CookieJar
from domain.noise.keys import Role
from domain.noise.server import Accepted, ServerHandshake
from domain.rekey.client import ClientRekey
from domain.rekey.rules import REKEY_INTERVAL_S, Carrier, RekeyVersion
from domain.rekey.server import ServerRekey
from domain.session.aggregated_stream import LARGEST_AGGREGATED_BODY_BYTES
from domain.session.framing import LARGEST_BODY_BYTES
from domain.session.liveness import ClientLiveness
from domain.settings.profile import TransportProtocol
from tests.adapters.clock import FakeClock
from tests.adapters.entropy import SeededEntropy
from tests.adapters.log import RememberingLog
from tests.adapters.streams import FakeStreamDialer, FakeStreamNetwork, FakeStreamTransport
from tests.adapters.tun import FakeTunDevice
from tests.application.bed import BATCH, PRIMITIVES, PROFILE, SERVER_KEYS, capabilities, key_pair
from tungo.transports import session_crypto_of

SERVER = Endpoint("192.0.2.1", 8080)
TCP_PROFILE = replace(PROFILE, protocol=TransportProtocol.TCP, port=SERVER.port)


class StreamServerEnd:
    """A server worker behind one stream listener."""

    def __init__(
        self, network: FakeStreamNetwork, clock: FakeClock, peers: list[Peer], *, aggregated: bool = False
    ) -> None:
        self.clock = clock
        self.tun = FakeTunDevice()
        self.listener = network.listen(SERVER)
        self.sessions = SessionRepository()
        self.counters = TunnelCounters()
        self.log = RememberingLog()
        entropy = SeededEntropy(7)
        self.handshake = ServerHandshake(
            PRIMITIVES,
            SERVER_KEYS,
            AccessList(peers),
            CookieJar(bytes(32)),
            supported=capabilities(aggregated=aggregated),
        )
        self.reception = StreamReception(
            listener=self.listener,
            sessions=self.sessions,
            registrar=Registrar(
                profile=TCP_PROFILE,
                handshake=self.handshake,
                sessions=self.sessions,
                crypto_for=session_crypto_of(PRIMITIVES, Role.SERVER, TCP_PROFILE),
                rekey_for=self._rekey_for,
                entropy=entropy,
                clock=clock,
                counters=self.counters,
            ),
            clock=clock,
            counters=self.counters,
            log=self.log,
        )
        self.worker = ServerWorker(
            tun=self.tun,
            reception=self.reception,
            sessions=self.sessions,
            batch_size=BATCH,
            clock=clock,
            entropy=entropy,
            counters=self.counters,
            log=self.log,
        )

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

    def _rekey_for(self, accepted: Accepted) -> ServerRekey:
        return ServerRekey(
            PRIMITIVES,
            SERVER_KEYS,
            accepted.peer.public_key,
            version=RekeyVersion.V2 if accepted.rekey_v2 else RekeyVersion.V1,
            carrier=Carrier.STREAM,
            keys=accepted.keys,
            still_admitted=lambda: self.handshake.access_list.admits(accepted.peer),
        )


class StreamClientEnd:
    """Client ``client_id``: dials, shakes hands and forwards; with ``aggregated`` in frames from then on."""

    def __init__(
        self,
        network: FakeStreamNetwork,
        clock: FakeClock,
        client_id: int,
        rekey_interval_s: float = REKEY_INTERVAL_S,
        *,
        aggregated: bool = False,
    ) -> None:
        self.clock = clock
        self.client_id = client_id
        self.aggregated = aggregated
        self.rekey_interval_s = rekey_interval_s
        self.tun = FakeTunDevice()
        self.counters = TunnelCounters()
        self.dialer = FakeStreamDialer(
            network,
            "198.51.100.7",
            largest_body_bytes=LARGEST_AGGREGATED_BODY_BYTES if aggregated else LARGEST_BODY_BYTES,
        )
        self.entropy = SeededEntropy(client_id)
        self.addresses = client_addresses(TCP_PROFILE.ipv4_subnet, TCP_PROFILE.ipv6_subnet, client_id)

    @property
    def address(self) -> str:
        return str(self.addresses.ipv4.ip)

    async def connect(self, server: StreamServerEnd) -> None:
        """One handshake; afterwards ``worker`` forwards. Raises what the handshake raises."""
        transport = await self.dialer.dial(SERVER)
        handshake = NoiseHandshake(
            machine=lambda: ClientHandshake(
                PRIMITIVES,
                SERVER_KEYS.public,
                key_pair(self.client_id),
                capabilities(aggregated=self.aggregated),
                delivery=Delivery.STREAM,
            ),
            crypto_for=session_crypto_of(PRIMITIVES, Role.CLIENT, TCP_PROFILE),
            clock=self.clock,
            entropy=self.entropy,
        )
        waiting = asyncio.ensure_future(handshake.establish(transport))
        while not waiting.done():
            await asyncio.sleep(0)
            server.drain()
        self.established = waiting.result()
        self._use(transport)

    def _use(self, transport: FakeStreamTransport) -> None:
        self.transport = transport
        self.rekey = ClientRekey(
            PRIMITIVES,
            key_pair(self.client_id),
            SERVER_KEYS.public,
            version=RekeyVersion.V2 if self.established.rekey_v2 else RekeyVersion.V1,
            carrier=Carrier.STREAM,
            keys=self.established.keys,
            now_s=self.clock.monotonic_s(),
            interval_s=self.rekey_interval_s,
        )
        ipv6 = self.addresses.ipv6
        self.worker = ClientWorker(
            tun=self.tun,
            transport=transport,
            crypto=self.established.crypto,
            control=ClientControl(
                crypto=self.established.crypto,
                egress=transport.egress(),
                liveness=ClientLiveness(self.clock.monotonic_s()),
                rekey=self.rekey,
                clock=self.clock,
                entropy=self.entropy,
            ),
            sources=AllowedSources(self.addresses.ipv4.ip, ipv6.ip if ipv6 else None),
            batch_size=BATCH,
            counters=self.counters,
        )

    def drain(self) -> None:
        """Handle the TUN device until nothing waits, then the connection."""
        while self.tun.waiting:
            self.worker.handle_tun()
        while self.transport.end.readable:
            self.worker.handle_transport()

    def send(self, *packets: bytes) -> None:
        """The client's host sends these into the tunnel."""
        self.tun.route_in(*packets)
        self.drain()


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
