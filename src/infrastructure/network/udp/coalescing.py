"""Draining UDP sockets whose datagrams the kernel joins (UDP_GRO).

The kernel hands over a run: datagrams of one sender and one length, the last of them perhaps shorter, back to
back, with their length in a control message. One system call, one copy and one packet of the caller's serve
up to 128 of them. They stay together from here on (``domain.session.runs``): taking them apart would cost
more than the rest of the reading.
"""

import socket
import sys
from collections.abc import Sequence
from typing import Final

from application.network.udp.batch import BatchIngress
from application.network.udp.packet import Packet
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import EndpointCache, SocketAddress
from infrastructure.network.udp.ingress import (
    CONNECTED_ERRNOS,
    PEER_ERRNOS,
    REFUSAL_ERRNOS,
    SKIP_LIMIT,
    TRUNCATED,
    Drain,
)

# linux/udp.h; the socket module has no name for it. Its control message is a native int.
UDP_GRO: Final = 104
_CONTROL_BYTES: Final = socket.CMSG_SPACE(4)

# A run never exceeds what the length field of an IP packet can say, and a shorter buffer would cut it.
RUN_BUFFER_BYTES: Final = 1 << 16

# Ours: what a batch stops behind. With 1 MiB, four milliseconds of work, packets the other way waited so
# long beside a saturating stream that the 99th percentile of the round trip was 16 ms; it is 9 with this, for
# the same throughput, which falls by a fifth with half of it.
_BATCH_BYTES: Final = 128 << 10

_CUT: Final = int(socket.MSG_TRUNC)


def joins_datagrams(datagram_socket: socket.socket) -> bool:
    """Let the kernel hand over runs; False if it cannot, and then the socket is as it was."""
    try:
        datagram_socket.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


class CoalescingIngress(Drain):
    """Reads a socket for which ``joins_datagrams`` was True, bound or connected.

    ``bound`` and ``connected`` are BatchingIngress and ConnectedIngress over runs, with their errors and
    their meaning of ``name`` and ``endpoint``. The caller's buffers should have RUN_BUFFER_BYTES.
    """

    __slots__ = ("_endpoint", "_endpoints", "_last_address", "_only_endpoint", "_passed_over")

    def __init__(
        self,
        datagram_socket: socket.socket,
        name: str,
        passed_over: frozenset[int],
        only_endpoint: Endpoint | None,
    ) -> None:
        super().__init__(datagram_socket, name)
        self._passed_over = passed_over  # errnos that are no failure
        self._only_endpoint = only_endpoint  # None: each run has its own source
        self._endpoints = EndpointCache()
        self._last_address: SocketAddress | None = None
        self._endpoint = only_endpoint or Endpoint("0.0.0.0", 0)

    @classmethod
    def bound(cls, datagram_socket: socket.socket, name: str) -> "CoalescingIngress":
        """For a socket that many peers send to."""
        return cls(datagram_socket, name, PEER_ERRNOS, None)

    @classmethod
    def connected(cls, datagram_socket: socket.socket, endpoint: Endpoint) -> "CoalescingIngress":
        """For a socket that hears ``endpoint`` alone."""
        return cls(datagram_socket, str(endpoint), CONNECTED_ERRNOS, endpoint)

    def read_batch(self, packets: Sequence[Packet]) -> int:
        if packets is not self._checked:
            self._check(packets)
        if self._failure is not None:
            self._raise_kept_failure()
        receive = self._socket.recvmsg_into
        address: SocketAddress
        count = skipped = 0
        limit = len(packets)
        room_bytes = _BATCH_BYTES
        while count < limit and room_bytes > 0:
            packet = packets[count]
            try:
                size, controls, flags, address = receive((packet.data,), _CONTROL_BYTES)
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno in self._passed_over:
                    if exc.errno in REFUSAL_ERRNOS:
                        self.refusal_errno = exc.errno
                    skipped += 1
                    if skipped < SKIP_LIMIT:
                        continue
                    break
                self._fail(exc, count)
                break
            packet.length = size
            room_bytes -= size
            # Nothing but UDP_GRO was asked for.
            packet.segment_bytes = int.from_bytes(controls[0][2], sys.byteorder) if controls else size
            if flags & _CUT:
                packet.flags = TRUNCATED
                self.truncated += 1
            else:
                packet.flags = 0
            if address != self._last_address and self._only_endpoint is None:
                self._endpoint = self._endpoints[address]
                self._last_address = address
            packet.endpoint = self._endpoint
            count += 1
        return count


_: type[BatchIngress] = CoalescingIngress
