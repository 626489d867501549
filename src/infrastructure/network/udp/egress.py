"""Writing batches of datagrams.

Whatever the kernel does not take is dropped and counted, never queued: a queue here would only add latency to
what the inner connections retransmit anyway. How a run shares a system call is the subject of
``segmentation``.
"""

import errno
import socket
from collections.abc import Sequence
from typing import Final

from application.network.connection.egress import Egress, PeerEgress
from application.network.udp.batch import BatchEgress
from application.network.udp.listener import UdpClosedError, UdpError
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.runs import SealedRun, frames_in, one_by_one
from infrastructure.network.addresses import (
    SocketAddress,
    SocketAddressCache,
    WrongFamilyError,
    endpoint_of,
)
from infrastructure.network.udp.segmentation import NO_ROOM_ERRNOS, RunSender
from infrastructure.network.udp.sockets import leave_from_here

# About this datagram or this endpoint; other peers and later datagrams are not concerned.
ENDPOINT_ERRNOS: Final = frozenset(
    {
        errno.EACCES,  # a broadcast address
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.ECONNREFUSED,  # a connected socket: the answer to an earlier datagram
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINVAL,  # port 0, or a link-local address without its interface
        errno.EMSGSIZE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EPERM,  # a firewall rule
    }
)

# A connected socket whose source address is no longer the host's, or one that lost its association on the
# way.
STRANDED_ERRNOS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EDESTADDRREQ, errno.EINVAL, errno.ENETUNREACH})


class BatchingEgress:
    """Writes through a bound socket of ``family`` to many peers. ``name`` stands for it in error texts.

    ``offload`` lets the kernel segment runs, where it can.
    """

    __slots__ = ("_addresses", "_name", "_sender", "_socket", "dropped_for_room", "dropped_refused")

    def __init__(self, datagram_socket: socket.socket, name: str, *, offload: bool = True) -> None:
        self._socket = datagram_socket
        self._name = name
        self._addresses = SocketAddressCache(datagram_socket.family)
        self._sender = RunSender(datagram_socket, name, self._goes_on, offload=offload)
        self.dropped_for_room = 0  # datagrams that the kernel had no room for
        self.dropped_refused = 0  # datagrams refused for their endpoint or their length

    def send_runs(self, runs: Sequence[SealedRun], endpoint: Endpoint) -> int:
        total = frames_in(runs)
        try:
            address = self._addresses[endpoint]
        except WrongFamilyError:
            self.dropped_refused += total
            return 0
        refused_before = self.dropped_refused
        taken = self._sender.send(runs, address)
        self.dropped_for_room += total - taken - (self.dropped_refused - refused_before)
        return taken

    def send_batch(self, datagrams: Sequence[Buffer], endpoint: Endpoint) -> int:
        return self.send_runs(one_by_one(datagrams), endpoint)

    def _goes_on(self, exc: OSError) -> bool:
        if exc.errno in ENDPOINT_ERRNOS:
            self.dropped_refused += 1
            return True
        if exc.errno not in NO_ROOM_ERRNOS:
            self._fail(exc)
        return False

    def _fail(self, exc: OSError) -> None:
        if self._socket.fileno() < 0:
            raise UdpClosedError(f"{self._name} is closed") from exc
        raise UdpError(f"{self._name} failed: {exc.strerror or exc}") from exc


class UdpPeerEgress:
    """The way to one of many peers through the server's socket.

    ``endpoint`` may be moved at any time (roaming, protocol specification 2.6); the next batch goes there.
    ``close`` leaves the shared socket alone.
    """

    __slots__ = ("_egress", "dropped", "endpoint")

    def __init__(self, egress: BatchEgress, endpoint: Endpoint) -> None:
        self._egress = egress
        self.endpoint = endpoint
        self.dropped = 0  # frames to this peer that were not taken

    @property
    def has_room(self) -> bool:
        return True

    def send_runs(self, runs: Sequence[SealedRun]) -> int:
        try:
            taken = self._egress.send_runs(runs, self.endpoint)
        except UdpError:
            taken = 0
        self.dropped += frames_in(runs) - taken
        return taken

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        return self.send_runs(one_by_one(frames))

    def send_message(self, message: bytes) -> None:
        self.send_batch((message,))

    def close(self) -> None:
        """Nothing here belongs to this peer alone."""


class ConnectedEgress:
    """The client's way to its server, over a connected socket that its transport owns and closes.

    A network error costs the datagrams it hits and no more (protocol specification 2.8). The kernel reports
    an ICMP message once, to whichever call comes first: what a send has met no read will. When the host's own
    address has changed, the rest leaves from the new one, and the server follows (2.6). ``offload`` lets the
    kernel segment runs, where it can.
    """

    __slots__ = ("_address", "_sender", "_socket", "dropped", "refusal_errno")

    def __init__(self, datagram_socket: socket.socket, *, offload: bool = True) -> None:
        self._socket = datagram_socket
        self._address: SocketAddress = datagram_socket.getpeername()
        name = f"the UDP path to {endpoint_of(self._address)}"
        self._sender = RunSender(datagram_socket, name, self._goes_on, offload=offload)
        self.refusal_errno = 0  # ECONNREFUSED if a send has met it; its reader clears it
        self.dropped = 0  # frames that were not taken

    @property
    def has_room(self) -> bool:
        return True

    def send_runs(self, runs: Sequence[SealedRun]) -> int:
        taken = self._sender.send(runs, None)
        self.dropped += frames_in(runs) - taken
        return taken

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        return self.send_runs(one_by_one(frames))

    def send_message(self, message: bytes) -> None:
        self.send_batch((message,))

    def _goes_on(self, exc: OSError) -> bool:
        if exc.errno in STRANDED_ERRNOS:
            return leave_from_here(self._socket, self._address)
        # The others that a read reports may also be about this host: its routes, its firewall.
        if exc.errno == errno.ECONNREFUSED:
            self.refusal_errno = exc.errno
        return exc.errno in ENDPOINT_ERRNOS

    def close(self) -> None:
        """The socket belongs to the transport."""


_batch_egress: type[BatchEgress] = BatchingEgress
_peer: type[PeerEgress] = UdpPeerEgress
_connected: type[Egress] = ConnectedEgress
