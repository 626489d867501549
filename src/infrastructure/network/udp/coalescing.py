"""Draining UDP sockets whose datagrams the kernel joins (UDP_GRO).

The kernel hands over a run: datagrams of one sender and one length, the last of them perhaps shorter, back to
back, with their length in a control message. One system call and one copy inside the kernel serve up to 128
of them; here the run is taken apart into the caller's packets.

A run may be longer than what is left of the batch. Its rest waits in the reader, where the socket's
descriptor does not show it, and a caller that goes by readiness would leave it there until somebody sends
again. The reader therefore has a descriptor of its own, which is readable while either place holds something.
"""

import os
import select
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from application.network.udp.batch import BatchIngress
from application.network.udp.packet import Packet
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import EndpointCache, SocketAddress
from infrastructure.network.udp.ingress import PATH_ERRNOS, PEER_ERRNOS, SKIP_LIMIT, TRUNCATED, Drain

# linux/udp.h; the socket module has no name for it. Its control message is a native int.
UDP_GRO: Final = 104
_CONTROL_BYTES: Final = socket.CMSG_SPACE(4)

# A run never exceeds what the length field of an IP packet can say, and a shorter buffer would cut it.
RUN_BUFFER_BYTES: Final = 1 << 16


def joins_datagrams(datagram_socket: socket.socket) -> bool:
    """Let the kernel hand over runs; False if it cannot, and then the socket is as it was."""
    try:
        datagram_socket.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


class Readiness:
    """A descriptor that is readable while ``datagram_socket`` is, or while ``raised``.

    Raises OSError if the process has too many descriptors.
    """

    __slots__ = ("_either", "_flag", "_open", "raised")

    def __init__(self, datagram_socket: socket.socket) -> None:
        self.raised = False
        with ExitStack() as opening:
            self._either = opening.enter_context(select.epoll())
            self._flag = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            opening.callback(os.close, self._flag)
            self._either.register(datagram_socket, select.EPOLLIN)
            self._either.register(self._flag, select.EPOLLIN)
            self._open = opening.pop_all()

    def fileno(self) -> int:
        """-1 after close."""
        return -1 if self._either.closed else self._either.fileno()

    def raise_flag(self) -> None:
        """Be readable; a system call, for a flag that is not raised."""
        os.eventfd_write(self._flag, 1)
        self.raised = True

    def lower_flag(self) -> None:
        """Be readable only as the socket is; a system call, for a flag that is raised."""
        os.eventfd_read(self._flag)
        self.raised = False

    def close(self) -> None:
        """A second call does nothing."""
        self.raised = False
        self._open.close()


class CoalescingIngress(Drain):
    """Reads a socket for which ``joins_datagrams`` was True, bound or connected.

    ``bound`` and ``connected`` are BatchingIngress and ConnectedIngress over runs, with their errors and
    their meaning of ``name`` and ``endpoint``. Each reader has one buffer of RUN_BUFFER_BYTES. Raises OSError
    as Readiness does.
    """

    __slots__ = (
        "_buffers",
        "_endpoint",
        "_endpoints",
        "_last_address",
        "_left",
        "_offset",
        "_only_endpoint",
        "_passed_over",
        "_readiness",
        "_run",
        "_segment",
        "_view",
    )

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
        buffer = bytearray(RUN_BUFFER_BYTES)
        self._buffers = [buffer]
        self._view = self._run = memoryview(buffer)  # _run: the part of it that the last run fills
        self._left = self._offset = self._segment = 0  # datagrams still in it, where they begin, their length
        self._readiness = Readiness(datagram_socket)

    @classmethod
    def bound(cls, datagram_socket: socket.socket, name: str) -> "CoalescingIngress":
        """For a socket that many peers send to."""
        return cls(datagram_socket, name, PEER_ERRNOS, None)

    @classmethod
    def connected(cls, datagram_socket: socket.socket, endpoint: Endpoint) -> "CoalescingIngress":
        """For a socket that hears ``endpoint`` alone."""
        return cls(datagram_socket, str(endpoint), PATH_ERRNOS, endpoint)

    def fileno(self) -> int:
        return self._readiness.fileno()

    def read_batch(self, packets: Sequence[Packet]) -> int:
        if packets is not self._checked:
            self._check(packets)
        if self._failure is not None:
            if self._readiness.raised:
                self._readiness.lower_flag()
            self._raise_kept_failure()
        limit = len(packets)
        count = self._hand_out(packets, 0) if self._left else 0
        skipped = 0
        while count < limit:
            try:
                self._receive_run()
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno in self._passed_over:
                    skipped += 1
                    if skipped < SKIP_LIMIT:
                        continue
                    break
                self._fail(exc, count)
                break
            count = self._hand_out(packets, count)
        if self._left or self._failure is not None:
            if not self._readiness.raised:
                self._readiness.raise_flag()
        elif self._readiness.raised:
            self._readiness.lower_flag()
        return count

    def close(self) -> None:
        self._left = 0
        self._readiness.close()

    def _receive_run(self) -> None:
        address: SocketAddress
        size, controls, _, address = self._socket.recvmsg_into(self._buffers, _CONTROL_BYTES)
        self._run = self._view[:size]
        self._offset = 0
        self._segment = size
        self._left = 1
        if controls:  # nothing but UDP_GRO was asked for
            self._segment = int.from_bytes(controls[0][2], sys.byteorder)
            self._left = -(-size // self._segment)
        if self._only_endpoint is None and address != self._last_address:
            self._endpoint = self._endpoints[address]
            self._last_address = address

    def _hand_out(self, packets: Sequence[Packet], start: int) -> int:
        """Fill ``packets[start:]`` from the run; returns the index of the first that is still free."""
        run, segment, endpoint = self._run, self._segment, self._endpoint
        offset = self._offset
        free = packets[start : start + self._left]
        for packet in free:
            datagram = run[offset : offset + segment]  # ends with the run if that is earlier
            offset += segment
            size = len(datagram)
            room = len(packet.data)
            if size <= room:
                packet.view[:size] = datagram
                packet.length = size
                packet.flags = 0
            else:
                packet.view[:room] = datagram[:room]
                packet.length = room
                packet.flags = TRUNCATED
                self.truncated += 1
            packet.endpoint = endpoint
        self._offset = offset
        self._left -= len(free)
        return start + len(free)


_: type[BatchIngress] = CoalescingIngress
