"""Draining UDP sockets into the caller's buffers.

Each loop below makes one system call per datagram and no call of our own. ``recvfrom_into`` rather than
``recvmsg_into``: it is the faster of the two, and MSG_TRUNC makes it return the datagram's real length, which
shows a truncated one without ancillary data. EINTR never gets here: the interpreter retries (PEP 475).
``coalescing`` has the reader for kernels that join datagrams.
"""

import errno
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from application.network.udp.batch import BatchIngress
from application.network.udp.listener import UdpClosedError, UdpError
from application.network.udp.packet import Packet, PacketFlags
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import EndpointCache, SocketAddress

# Reported on an unconnected socket about a peer that went away (ICMP): no failure of the socket.
PEER_ERRNOS: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE})

# Reported on a connected socket when the path's MTU has shrunk: the kernel will fragment from now on.
PATH_ERRNOS: Final = frozenset({errno.EMSGSIZE})

# Reported on a connected socket when an ICMP message says that a datagram did not arrive. Anybody who knows
# the two endpoints can send one.
REFUSAL_ERRNOS: Final = frozenset(
    {
        errno.ECONNREFUSED,  # port unreachable
        errno.EACCES,  # ICMPv6: prohibited on the way
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,  # prohibited on the way
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,  # protocol unreachable
        errno.EPROTO,  # a problem with the header
    }
)

# What a connected socket reports about the path, none of it a failure of the socket.
CONNECTED_ERRNOS: Final = PATH_ERRNOS | REFUSAL_ERRNOS

# Reports passed over in one batch: more of them must not keep the loop from its other descriptors.
SKIP_LIMIT: Final = 64

TRUNCATED: Final = int(PacketFlags.TRUNCATED)
_RECEIVE_FLAGS: Final = int(socket.MSG_TRUNC)


class Drain(ABC):
    """What all readers share: the check of the buffers and the failure kept for the next call.

    The socket belongs to whoever made the reader.
    """

    __slots__ = ("_checked", "_failure", "_name", "_socket", "refusal_errno", "truncated")

    def __init__(self, datagram_socket: socket.socket, name: str) -> None:
        self._socket = datagram_socket
        self._name = name
        self._checked: Sequence[Packet] | None = None
        self._failure: UdpError | None = None
        self.refusal_errno = 0  # the last of REFUSAL_ERRNOS that was passed over; its reader clears it
        self.truncated = 0  # datagrams delivered with PacketFlags.TRUNCATED

    @abstractmethod
    def read_batch(self, packets: Sequence[Packet]) -> int:
        """See ``BatchIngress``."""

    def fileno(self) -> int:
        """The descriptor that is readable while ``read_batch`` has something to give; -1 after its close."""
        return self._socket.fileno()

    def _check(self, packets: Sequence[Packet]) -> None:
        """Refuse buffers that nothing can be received into, before a datagram is lost in one."""
        if not packets:
            raise ValueError("read_batch needs at least one packet")
        for index, packet in enumerate(packets):
            if not packet.data:
                raise ValueError(
                    f"packets[{index}].data is empty: its owner must allocate it before the first read"
                )
        self._checked = packets

    def _raise_kept_failure(self) -> None:
        failure, self._failure = self._failure, None
        if self._socket.fileno() < 0:
            raise UdpClosedError(f"{self._name} is closed")
        if failure is not None:
            raise failure

    def _fail(self, exc: OSError, delivered: int) -> None:
        """Raise what ``exc`` means, or keep it for the next call if datagrams have to be delivered first."""
        failure: UdpError
        if self._socket.fileno() < 0:
            failure = UdpClosedError(f"{self._name} is closed")
        else:
            failure = UdpError(f"{self._name} failed: {exc.strerror or exc}")
        if delivered == 0:
            raise failure from exc
        failure.__cause__ = exc
        self._failure = failure


class BatchingIngress(Drain):
    """Reads a bound socket that many peers send to.

    ``name`` stands for the socket in error texts. A sequence of packets is checked when it is first seen, so
    a caller that passes the same one each time, as the data plane does, pays for the check once.
    """

    __slots__ = ("_endpoints", "_last_address", "_last_endpoint")

    def __init__(self, datagram_socket: socket.socket, name: str) -> None:
        super().__init__(datagram_socket, name)
        self._endpoints = EndpointCache()
        self._last_address: SocketAddress | None = None
        self._last_endpoint = Endpoint("0.0.0.0", 0)

    def read_batch(self, packets: Sequence[Packet]) -> int:
        if packets is not self._checked:
            self._check(packets)
        if self._failure is not None:
            self._raise_kept_failure()
        receive = self._socket.recvfrom_into
        last_address = self._last_address
        endpoint = self._last_endpoint
        address: SocketAddress
        count = skipped = 0
        limit = len(packets)
        while count < limit:
            packet = packets[count]
            data = packet.data
            try:
                size, address = receive(data, 0, _RECEIVE_FLAGS)
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno in PEER_ERRNOS:
                    skipped += 1
                    if skipped < SKIP_LIMIT:
                        continue
                    break
                self._fail(exc, count)
                break
            # Datagrams come in runs from one peer: comparing is cheaper than hashing.
            if address != last_address:
                endpoint = self._endpoints[address]
                last_address = address
            packet.endpoint = endpoint
            if size <= len(data):
                packet.length = packet.segment_bytes = size
                packet.flags = 0
            else:
                packet.length = packet.segment_bytes = len(data)
                packet.flags = TRUNCATED
                self.truncated += 1
            count += 1
        self._last_address = last_address
        self._last_endpoint = endpoint
        return count


class ConnectedIngress(Drain):
    """Reads a connected socket; the kernel delivers what comes from ``endpoint`` alone.

    Asking the kernel for no source address halves the cost of a datagram. That datagrams do not arrive there
    is no failure of the socket: ``refusal_errno`` says so, and what it means is the owner's decision.
    """

    __slots__ = ("_endpoint",)

    def __init__(self, datagram_socket: socket.socket, endpoint: Endpoint) -> None:
        super().__init__(datagram_socket, str(endpoint))
        self._endpoint = endpoint

    def read_batch(self, packets: Sequence[Packet]) -> int:
        if packets is not self._checked:
            self._check(packets)
        if self._failure is not None:
            self._raise_kept_failure()
        receive = self._socket.recv_into
        endpoint = self._endpoint
        count = skipped = 0
        limit = len(packets)
        while count < limit:
            packet = packets[count]
            data = packet.data
            try:
                size = receive(data, 0, _RECEIVE_FLAGS)
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno in CONNECTED_ERRNOS:
                    if exc.errno in REFUSAL_ERRNOS:
                        self.refusal_errno = exc.errno
                    skipped += 1
                    if skipped < SKIP_LIMIT:
                        continue
                    break
                self._fail(exc, count)
                break
            packet.endpoint = endpoint
            if size <= len(data):
                packet.length = packet.segment_bytes = size
                packet.flags = 0
            else:
                packet.length = packet.segment_bytes = len(data)
                packet.flags = TRUNCATED
                self.truncated += 1
            count += 1
        return count


_bound: type[BatchIngress] = BatchingIngress
_connected: type[BatchIngress] = ConnectedIngress
