"""A datagram network in memory: listeners, a dialer and the weather between them, without sockets.

Sending delivers at once, in the sender's call, so a test is a transcript; what the weather does is drawn from
a seed, so a failing run repeats.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from application.network.connection.egress import Egress
from application.network.connection.ingress import FrameIngress
from application.network.connection.transport import (
    ClientTransport,
    Dialer,
    DialError,
    ResolutionError,
    TransportError,
)
from application.network.udp.batch import BatchEgress, BatchIngress
from application.network.udp.listener import UdpBindError, UdpClosedError, UdpError, UdpListener
from application.network.udp.packet import Packet, PacketFlags
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.runs import ReceivedRun, SealedRun, cut, one_by_one
from domain.settings.profile import TransportProfile

# What IPv4 can carry: 65535 - 20 - 8. A kernel answers a longer datagram with EMSGSIZE.
LARGEST_DATAGRAM_BYTES: Final = 65_507

# Like a socket buffer: beyond it a receiver that does not read loses datagrams.
INBOX_LIMIT: Final = 4096

# How far a datagram that overtakes gets ahead.
REORDER_DEPTH: Final = 8

FIRST_EPHEMERAL_PORT: Final = 49_152


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely (0 to 1) each mishap is for each datagram."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    corruption: float = 0.0


CALM: Final = Weather()


class FakeNetwork:
    """Carries datagrams between the endpoints that were made on it.

    ``weather`` may be changed at any time. Hosts in ``unreachable_hosts`` have no route: dialling them fails
    and what is sent to them is refused. ``names`` is what the dialers resolve. ``lost``, ``duplicated``,
    ``reordered`` and ``corrupted`` count what the weather did.
    """

    def __init__(self, seed: int = 0, weather: Weather = CALM) -> None:
        self.weather = weather
        self.unreachable_hosts: set[str] = set()
        self.names: dict[str, list[str]] = {}
        self.lost = self.duplicated = self.reordered = self.corrupted = 0
        self._random = random.Random(seed)
        self._mailboxes: dict[Endpoint, FakeMailbox] = {}
        self._descriptors = count(1000)
        self._ports = count(FIRST_EPHEMERAL_PORT)

    def listen(self, endpoint: Endpoint) -> "FakeUdpListener":
        """A listener on ``endpoint``; port 0 takes a free one. Raises UdpBindError if somebody has it."""
        return FakeUdpListener(self.attach(endpoint))

    def attach(self, endpoint: Endpoint, remote: Endpoint | None = None) -> "FakeMailbox":
        """Reserve ``endpoint``; with ``remote`` it hears that endpoint alone, like a connected socket."""
        if endpoint.port == 0:
            endpoint = endpoint._replace(port=next(self._ports))
        if endpoint in self._mailboxes:
            raise UdpBindError(f"cannot listen on UDP {endpoint}: another program uses the port")
        mailbox = self._mailboxes[endpoint] = FakeMailbox(self, endpoint, remote, next(self._descriptors))
        return mailbox

    def detach(self, endpoint: Endpoint) -> None:
        """Give ``endpoint`` up; what is on its way to it is lost."""
        self._mailboxes.pop(endpoint, None)

    def send(self, datagram: Buffer, sender: "FakeMailbox", to: Endpoint) -> bool:
        """Carry one datagram as the weather permits; False if the sender's own host refuses it."""
        if to.host in self.unreachable_hosts or to.port == 0 or len(datagram) > LARGEST_DATAGRAM_BYTES:
            return False
        receiver = self._mailboxes.get(to)
        if receiver is None:
            if sender.remote is not None:
                sender.is_refused = True
                sender.wake()
            return True
        if self._happens(self.weather.loss):
            self.lost += 1
            return True
        copies = 1
        if self._happens(self.weather.duplication):
            self.duplicated += 1
            copies = 2
        for _ in range(copies):
            receiver.put(self._weathered(bytes(datagram)), sender.endpoint, self._overtaken(receiver))
        return True

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability

    def _weathered(self, datagram: bytes) -> bytes:
        if not datagram or not self._happens(self.weather.corruption):
            return datagram
        self.corrupted += 1
        damaged = bytearray(datagram)
        damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
        return bytes(damaged)

    def _overtaken(self, receiver: "FakeMailbox") -> int:
        waiting = min(len(receiver.inbox), REORDER_DEPTH)
        if not waiting or not self._happens(self.weather.reordering):
            return 0
        self.reordered += 1
        return self._random.randint(1, waiting)


class FakeMailbox:
    """What a socket is on a real host: the datagrams that wait, and whether it is open.

    ``failure`` is raised by the next read that has delivered what came before it, then forgotten.
    ``fail_after(n)`` lets n more datagrams through and then fails. ``is_refused`` is what ICMP would say to a
    connected one: that nobody has the port. Anybody may set it.
    """

    def __init__(
        self, network: FakeNetwork, endpoint: Endpoint, remote: Endpoint | None, descriptor: int
    ) -> None:
        self.network = network
        self.endpoint = endpoint
        self.remote = remote
        self.descriptor = descriptor  # a number to tell sockets apart; no kernel knows it
        self.inbox: deque[tuple[bytes, Endpoint]] = deque()
        self.failure: UdpError | None = None
        self.is_refused = False
        self._reads_until_failure: int | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self.descriptor < 0

    def put(self, datagram: bytes, source: Endpoint, overtaken: int) -> None:
        """Deliver, ahead of the last ``overtaken`` datagrams that wait."""
        if self.remote is not None and source != self.remote:
            return
        if len(self.inbox) < INBOX_LIMIT:
            self.inbox.insert(len(self.inbox) - overtaken, (datagram, source))
            self.wake()

    def take(self) -> tuple[bytes, Endpoint] | None:
        """The next datagram, or None. Raises the failure that is due, UdpClosedError."""
        if self.closed:
            raise UdpClosedError(f"the UDP socket on {self.endpoint} is closed")
        if self._reads_until_failure == 0:
            self._reads_until_failure = None
            self.failure = UdpError(f"the UDP socket on {self.endpoint} failed: Input/output error")
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        if not self.inbox:
            return None
        if self._reads_until_failure is not None:
            self._reads_until_failure -= 1
        return self.inbox.popleft()

    def fail_after(self, datagrams: int) -> None:
        """Fail once, after ``datagrams`` more have been read."""
        self._reads_until_failure = datagrams

    async def readable(self) -> None:
        """Wait until ``take`` has something to give or to raise."""
        if self.inbox or self.failure is not None or self.is_refused or self.closed:
            await asyncio.sleep(0)
            return
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def wake(self) -> None:
        """Let whoever waits in ``readable`` go on."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Give the endpoint up."""
        if not self.closed:
            self.descriptor = -1
            self.network.detach(self.endpoint)
            self.wake()


class FakeBatchIngress:
    """Reads a mailbox; ``truncated`` counts the datagrams that did not fit."""

    def __init__(self, mailbox: FakeMailbox) -> None:
        self._mailbox = mailbox
        self._kept_failure: UdpError | None = None
        self.truncated = 0

    def read_batch(self, packets: Sequence[Packet]) -> int:
        if not packets or not all(packet.data for packet in packets):
            raise ValueError("read_batch needs packets with allocated data: empty data receives nothing")
        if self._kept_failure is not None and not self._mailbox.closed:
            failure, self._kept_failure = self._kept_failure, None
            raise failure
        for index, packet in enumerate(packets):
            try:
                taken = self._mailbox.take()
            except UdpError as failure:
                if index == 0:
                    raise
                self._kept_failure = failure
                return index
            if taken is None:
                return index
            self._fill(packet, *taken)
        return len(packets)

    def _fill(self, packet: Packet, datagram: bytes, source: Endpoint) -> None:
        room = len(packet.data)
        packet.length = packet.segment_bytes = min(len(datagram), room)
        packet.data[: packet.length] = datagram[:room]
        packet.endpoint = source
        packet.flags = int(PacketFlags.TRUNCATED if len(datagram) > room else PacketFlags.NONE)
        self.truncated += len(datagram) > room


class FakeBatchEgress:
    """Writes from a mailbox. ``full`` makes it drop everything, as a kernel without room does."""

    def __init__(self, mailbox: FakeMailbox) -> None:
        self._mailbox = mailbox
        self.full = False
        self.failure: UdpError | None = None  # raised by every call while it is set

    def send_runs(self, runs: Sequence[SealedRun], endpoint: Endpoint) -> int:
        return self._send([datagram for run in runs for datagram in cut(run)], endpoint)

    def send_batch(self, datagrams: Sequence[Buffer], endpoint: Endpoint) -> int:
        return self._send(datagrams, endpoint)

    def _send(self, datagrams: Sequence[Buffer], endpoint: Endpoint) -> int:
        if self._mailbox.closed:
            raise UdpClosedError(f"the UDP socket on {self._mailbox.endpoint} is closed")
        if self.failure is not None:
            raise self.failure
        if self.full:
            return 0
        network = self._mailbox.network
        return sum(network.send(datagram, self._mailbox, endpoint) for datagram in datagrams)


class FakeUdpListener:
    """A listener on a FakeNetwork. ``mailbox`` is open to tests that want to look or to break it."""

    def __init__(self, mailbox: FakeMailbox) -> None:
        self.mailbox = mailbox
        self._ingress = FakeBatchIngress(mailbox)
        self._egress = FakeBatchEgress(mailbox)

    @property
    def local_endpoint(self) -> Endpoint:
        return self.mailbox.endpoint

    def fileno(self) -> int:
        """A number unique on this network, -1 after close; nothing that an event loop can watch."""
        return self.mailbox.descriptor

    def read_from(self, packet: Packet) -> bool:
        return self._ingress.read_batch([packet]) == 1

    def write_to(self, datagram: Buffer, endpoint: Endpoint) -> bool:
        return self._egress.send_batch([datagram], endpoint) == 1

    def batch_ingress(self) -> FakeBatchIngress:
        return self._ingress

    def batch_egress(self) -> FakeBatchEgress:
        return self._egress

    def close(self) -> None:
        self.mailbox.close()


class FakeConnectedEgress:
    """The way to the one endpoint that a mailbox is connected to; errors are dropped frames."""

    def __init__(self, mailbox: FakeMailbox, remote: Endpoint) -> None:
        self._egress = FakeBatchEgress(mailbox)
        self._remote = remote

    @property
    def has_room(self) -> bool:
        return True

    def send_runs(self, runs: Sequence[SealedRun]) -> int:
        try:
            return self._egress.send_runs(runs, self._remote)
        except UdpError:
            return 0

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        return self.send_runs(one_by_one(frames))

    def send_message(self, message: bytes) -> None:
        self.send_batch([message])

    def close(self) -> None:
        """Nothing belongs to the peer alone."""


class FakeFrameIngress:
    """Each datagram in a mailbox is a frame; at most ``batch`` of them at a time."""

    def __init__(self, mailbox: FakeMailbox, batch: int = 64) -> None:
        self._mailbox = mailbox
        self._batch = batch
        self._kept_failure: UdpError | None = None

    def read_runs(self) -> Sequence[ReceivedRun]:
        if self._kept_failure is not None and not self._mailbox.closed:
            failure, self._kept_failure = self._kept_failure, None
            raise TransportError(str(failure))
        frames: list[bytes] = []
        while len(frames) < self._batch:
            try:
                taken = self._mailbox.take()
            except UdpError as failure:
                if not frames:
                    raise TransportError(str(failure)) from failure
                self._kept_failure = failure
                break
            if taken is None:
                break
            frames.append(taken[0])
        return one_by_one(frames)


class FakeClientTransport:
    """A dialled path on a FakeNetwork."""

    def __init__(self, mailbox: FakeMailbox, remote: Endpoint) -> None:
        self.mailbox = mailbox
        self._remote = remote
        self._ingress = FakeFrameIngress(mailbox)
        self._egress = FakeConnectedEgress(mailbox, remote)

    @property
    def remote_endpoint(self) -> Endpoint:
        return self._remote

    async def send_message(self, message: bytes) -> None:
        if self.mailbox.closed or not self.mailbox.network.send(message, self.mailbox, self._remote):
            raise TransportError(f"cannot send to {self._remote}")

    async def receive_message(self) -> bytes:
        while True:
            await self.mailbox.readable()
            try:
                taken = self.mailbox.take()
            except UdpError as exc:
                raise TransportError(str(exc)) from exc
            if self.take_refusal() is not None:
                raise TransportError(f"{self._remote} refused: nothing listens there")
            if taken is not None and taken[0]:
                return taken[0]

    def fileno(self) -> int:
        """As for FakeUdpListener."""
        return self.mailbox.descriptor

    def ingress(self) -> FakeFrameIngress:
        return self._ingress

    def take_refusal(self) -> str | None:
        is_refused, self.mailbox.is_refused = self.mailbox.is_refused, False
        return "the server's host says that nobody listens on its port" if is_refused else None

    def take_long_frames(self) -> None:
        """Nothing to do, as for every datagram path."""

    def egress(self) -> FakeConnectedEgress:
        return self._egress

    def close(self) -> None:
        self.mailbox.close()


class FakeDialer:
    """Dials from ``host``, each time from another port, and resolves from the network's ``names``."""

    def __init__(self, network: FakeNetwork, host: str) -> None:
        self._network = network
        self._host = host
        self.dialled: list[Endpoint] = []

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        server = profile.server
        literals = [str(address) for address in (server.ipv4, server.ipv6) if address is not None]
        hosts = literals + sorted(self._network.names.get(server.domain, []), key=lambda host: ":" in host)
        if not hosts:
            raise ResolutionError(f"cannot resolve {server.domain!r}")
        return [Endpoint(host, profile.port) for host in dict.fromkeys(hosts)]

    async def dial(self, endpoint: Endpoint) -> FakeClientTransport:
        self.dialled.append(endpoint)
        if endpoint.host in self._network.unreachable_hosts:
            raise DialError(f"cannot open a UDP path to {endpoint}: there is no route to it")
        mailbox = self._network.attach(Endpoint(self._host, 0), remote=endpoint)
        return FakeClientTransport(mailbox, endpoint)


_listener: type[UdpListener] = FakeUdpListener
_ingress: type[BatchIngress] = FakeBatchIngress
_frames: type[FrameIngress] = FakeFrameIngress
_batch_egress: type[BatchEgress] = FakeBatchEgress
_egress: type[Egress] = FakeConnectedEgress
_transport: type[ClientTransport] = FakeClientTransport
_dialer: type[Dialer] = FakeDialer
