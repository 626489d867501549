"""A server and its clients on a network in memory: real workers and sessions, no sockets, no event loop."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Generic, TypeVar

from application.client.control import ClientControl
from application.client.forward import ClientWorker
from application.client.handshake import NoiseHandshake
from application.network.connection.handshake import Established
from application.network.connection.transport import ClientTransport
from application.network.routing.counters import TunnelCounters
from application.network.udp.batch import BatchEgress
from application.server.datagrams import DatagramReception
from application.server.forward import ServerWorker
from application.server.reception import Reception
from application.server.register import Registrar
from application.server.sessions import SessionRepository
from domain.addressing.endpoint import Endpoint
from domain.addressing.peers import AccessList, Peer
from domain.addressing.sources import AllowedSources
from domain.addressing.tunnel import client_addresses
from domain.noise.client import ClientHandshake, Delivery
from domain.noise.cookie import CookieJar
from domain.noise.keys import EpochKeys, KeyPair, Role
from domain.noise.message import Capability
from domain.noise.server import Accepted, ServerHandshake
from domain.rekey.client import ClientRekey
from domain.rekey.rules import REKEY_INTERVAL_S, Carrier, RekeyVersion
from domain.rekey.server import ServerRekey
from domain.session.liveness import ClientLiveness
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.egress import UdpPeerEgress
from infrastructure.network.udp.registration import UdpRegistration
from tests.adapters.clock import FakeClock
from tests.adapters.entropy import SeededEntropy
from tests.adapters.log import RememberingLog
from tests.adapters.tun import FakeTunDevice
from tests.adapters.udp import FakeClientTransport, FakeDialer, FakeNetwork
from tungo.transports import session_crypto_of

SERVER = Endpoint("192.0.2.1", 9090)
BATCH = 8
PROFILE = TransportProfile(
    protocol=TransportProtocol.UDP,
    interface_name="fake0",
    ipv4_subnet=IPv4Network("10.0.1.0/24"),
    ipv6_subnet=IPv6Network("fd00:1::/64"),
    server=ServerAddress(ipv4=IPv4Address(SERVER.host)),
    port=SERVER.port,
    mtu_bytes=1400,
    dial_timeout_ms=5000,
)
PRIMITIVES = PycaPrimitives()
CAPABILITIES = frozenset({Capability.REKEY_V2})

_Transport = TypeVar("_Transport", bound=ClientTransport)


def capabilities(*, aggregated: bool) -> frozenset[Capability]:
    return CAPABILITIES | {Capability.AGGREGATION} if aggregated else CAPABILITIES


def key_pair(number: int) -> KeyPair:
    return KeyPair.from_private(PRIMITIVES, bytes([number]) * 32)


SERVER_KEYS = key_pair(200)


def idle_rekey(peer: Peer) -> ServerRekey:
    """A rekey machine that nobody is going to use."""
    return ServerRekey(
        PRIMITIVES,
        SERVER_KEYS,
        peer.public_key,
        version=RekeyVersion.V2,
        carrier=Carrier.DATAGRAM,
        keys=EpochKeys(bytes(32), bytes(32)),
        still_admitted=lambda: True,
    )


def ipv4_packet(source: str, destination: str, payload: bytes = b"payload") -> bytes:
    """As much of an IPv4 packet as the tunnel looks at."""
    header = bytearray(20)
    header[0] = 0x45
    header[2:4] = (20 + len(payload)).to_bytes(2)
    header[12:16] = IPv4Address(source).packed
    header[16:20] = IPv4Address(destination).packed
    return bytes(header) + payload


class CommonServerEnd:
    """What a server is made of over any transport; ``peers`` have the keys of ``key_pair``."""

    def __init__(
        self,
        profile: TransportProfile,
        carrier: Carrier,
        clock: FakeClock,
        peers: list[Peer],
        *,
        aggregated: bool,
    ) -> None:
        self.clock = clock
        self.tun = FakeTunDevice()
        self.sessions = SessionRepository()
        self.counters = TunnelCounters()
        self.log = RememberingLog()
        self.handshake = ServerHandshake(
            PRIMITIVES,
            SERVER_KEYS,
            AccessList(peers),
            CookieJar(bytes(32)),
            supported=capabilities(aggregated=aggregated),
        )
        self._carrier = carrier
        self._entropy = SeededEntropy(7)
        self.registrar = Registrar(
            profile=profile,
            handshake=self.handshake,
            sessions=self.sessions,
            crypto_for=session_crypto_of(PRIMITIVES, Role.SERVER, profile),
            rekey_for=self._rekey_for,
            entropy=self._entropy,
            clock=clock,
            counters=self.counters,
        )

    def worker_behind(self, reception: Reception) -> ServerWorker:
        return ServerWorker(
            tun=self.tun,
            reception=reception,
            sessions=self.sessions,
            batch_size=BATCH,
            clock=self.clock,
            entropy=self._entropy,
            counters=self.counters,
            log=self.log,
        )

    def _rekey_for(self, accepted: Accepted) -> ServerRekey:
        return ServerRekey(
            PRIMITIVES,
            SERVER_KEYS,
            accepted.peer.public_key,
            version=RekeyVersion.V2 if accepted.rekey_v2 else RekeyVersion.V1,
            carrier=self._carrier,
            keys=accepted.keys,
            still_admitted=lambda: self.handshake.access_list.admits(accepted.peer),
        )


class ServerEnd(CommonServerEnd):
    """A server worker behind one UDP listener."""

    def __init__(
        self, network: FakeNetwork, clock: FakeClock, peers: list[Peer], *, aggregated: bool = False
    ) -> None:
        super().__init__(PROFILE, Carrier.DATAGRAM, clock, peers, aggregated=aggregated)
        self.listener = network.listen(SERVER)
        batch_egress: BatchEgress = self.listener.batch_egress()
        self.worker = self.worker_behind(
            DatagramReception(
                listener=self.listener,
                sessions=self.sessions,
                registration=UdpRegistration(
                    register=self.registrar.register,
                    egress_to=lambda endpoint: UdpPeerEgress(batch_egress, endpoint),
                    clock=clock,
                    counters=self.counters,
                ),
                packets=DatagramBuffer.allocate(BATCH, 1536),
                counters=self.counters,
            )
        )

    def drain(self) -> None:
        """Handle the transport until nothing waits, then the TUN device."""
        while self.listener.mailbox.inbox:
            self.worker.handle_transport()
        while self.tun.waiting:
            self.worker.handle_tun()


class CommonClientEnd(ABC, Generic[_Transport]):
    """Client ``client_id`` over any transport; with ``aggregated`` in frames once it has shaken hands."""

    transport: _Transport
    established: Established
    rekey: ClientRekey
    worker: ClientWorker

    def __init__(
        self,
        profile: TransportProfile,
        carrier: Carrier,
        clock: FakeClock,
        client_id: int,
        rekey_interval_s: float,
        *,
        aggregated: bool,
    ) -> None:
        self.clock = clock
        self.rekey_interval_s = rekey_interval_s
        self.aggregated = aggregated
        self.client_id = client_id
        self.tun = FakeTunDevice()
        self.counters = TunnelCounters()
        self.entropy = SeededEntropy(client_id)
        self.addresses = client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, client_id)
        self._profile = profile
        self._carrier = carrier

    @property
    def address(self) -> str:
        return str(self.addresses.ipv4.ip)

    @abstractmethod
    def drain(self) -> None:
        """Handle the TUN device until nothing waits, then the transport."""

    def send(self, *packets: bytes) -> None:
        """The client's host sends these into the tunnel."""
        self.tun.route_in(*packets)
        self.drain()

    async def shake_hands(self, transport: _Transport, drain_server: Callable[[], None]) -> None:
        """One handshake; afterwards ``worker`` forwards. Raises what the handshake raises."""
        on_stream = self._carrier is Carrier.STREAM
        handshake = NoiseHandshake(
            machine=lambda: ClientHandshake(
                PRIMITIVES,
                SERVER_KEYS.public,
                key_pair(self.client_id),
                capabilities(aggregated=self.aggregated),
                delivery=Delivery.STREAM if on_stream else Delivery.DATAGRAM,
            ),
            crypto_for=session_crypto_of(PRIMITIVES, Role.CLIENT, self._profile),
            clock=self.clock,
            entropy=self.entropy,
        )
        waiting = asyncio.ensure_future(handshake.establish(transport))
        while not waiting.done():
            await asyncio.sleep(0)
            drain_server()
        self._use(waiting.result(), transport)

    def _use(self, established: Established, transport: _Transport) -> None:
        self.transport = transport
        self.established = established
        self.rekey = ClientRekey(
            PRIMITIVES,
            key_pair(self.client_id),
            SERVER_KEYS.public,
            version=RekeyVersion.V2 if established.rekey_v2 else RekeyVersion.V1,
            carrier=self._carrier,
            keys=established.keys,
            now_s=self.clock.monotonic_s(),
            interval_s=self.rekey_interval_s,
        )
        ipv6 = self.addresses.ipv6
        self.worker = ClientWorker(
            tun=self.tun,
            transport=transport,
            crypto=established.crypto,
            control=ClientControl(
                crypto=established.crypto,
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


class ClientEnd(CommonClientEnd[FakeClientTransport]):
    """A client over UDP that dials from ``host``."""

    def __init__(
        self,
        network: FakeNetwork,
        clock: FakeClock,
        client_id: int,
        host: str = "198.51.100.7",
        rekey_interval_s: float = REKEY_INTERVAL_S,
        *,
        aggregated: bool = False,
    ) -> None:
        super().__init__(PROFILE, Carrier.DATAGRAM, clock, client_id, rekey_interval_s, aggregated=aggregated)
        self.dialer = FakeDialer(network, host)

    async def connect(self, server: ServerEnd) -> None:
        """See ``shake_hands``."""
        await self.shake_hands(await self.dialer.dial(SERVER), server.drain)

    def drain(self) -> None:
        """See CommonClientEnd."""
        while self.tun.waiting:
            self.worker.handle_tun()
        while self.transport.mailbox.inbox:
            self.worker.handle_transport()


class Bed:
    """One server and ``count`` connected clients, on a ``network`` of their own if none is given."""

    def __init__(
        self,
        count: int = 1,
        seed: int = 0,
        *,
        network: FakeNetwork | None = None,
        rekey_interval_s: float = REKEY_INTERVAL_S,
        aggregated: bool = False,
    ) -> None:
        self.network = network or FakeNetwork(seed)
        self.clock = FakeClock()
        self.peers = [Peer(key_pair(n).public, n, f"client-{n}") for n in range(1, count + 1)]
        self.server = ServerEnd(self.network, self.clock, self.peers, aggregated=aggregated)
        self.clients = [
            ClientEnd(self.network, self.clock, n, rekey_interval_s=rekey_interval_s, aggregated=aggregated)
            for n in range(1, count + 1)
        ]
        for client in self.clients:
            self.connect(client)

    def connect(self, client: ClientEnd) -> None:
        asyncio.run(client.connect(self.server))

    def settle(self) -> None:
        """Let everything that is on its way arrive."""
        while self.server.listener.mailbox.inbox or self.server.tun.waiting or self._clients_busy():
            self.server.drain()
            for client in self.clients:
                client.drain()

    def _clients_busy(self) -> bool:
        return any(client.transport.mailbox.inbox or client.tun.waiting for client in self.clients)
