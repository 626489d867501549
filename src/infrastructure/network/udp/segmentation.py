"""Sending runs of datagrams that the kernel takes apart (UDP_SEGMENT).

Datagrams of one length, the last of them perhaps shorter, go to the kernel back to back in one system call,
with their length in a control message (a native unsigned short).

A run that is refused for any reason but a want of room is sent again at once, one datagram after the other,
so that nothing is lost and the order stays; what happens to each is then decided as if there were no runs.
From the refusal this is learnt:

=====================  =================================================================================
EIO                    the way out cannot segment: this socket sends no more runs
EINVAL, EMSGSIZE       if the first of the run goes out alone, it is too long for the path's MTU: it can be
                       fragmented, not segmented. Datagrams that long go alone to this address from now on
anything else          nothing; and nothing from EINVAL if the first alone is refused, too: the address or the
                       socket's own is at fault
=====================  =================================================================================
"""

import errno
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final

from domain.noise.primitives import Buffer
from infrastructure.network.addresses import CACHE_LIMIT, SocketAddress

# linux/udp.h; the socket module has no name for it.
UDP_SEGMENT: Final = 103

# UDP_MAX_SEGMENTS, the smallest that kernels have had; newer ones take 128.
LONGEST_RUN: Final = 64

# Ours: below the 65 507 bytes of the largest UDP datagram over IPv4, so that no run fails for its own length.
LARGEST_RUN_BYTES: Final = 65_000

# The kernel has no room now: the rest of the batch would fare no better.
NO_ROOM_ERRNOS: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})

_TOO_LONG_ERRNOS: Final = frozenset({errno.EINVAL, errno.EMSGSIZE})  # the second on newer kernels
_LOG: Final = logging.getLogger("tungo.udp")


def segments_runs(datagram_socket: socket.socket) -> bool:
    """Whether the kernel knows UDP_SEGMENT."""
    try:
        datagram_socket.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 0)
    except OSError:
        return False
    return True


class RunSender:
    """Sends sequences of datagrams through one socket, in runs if ``offload`` and if the kernel can.

    ``goes_on`` is asked about each datagram that the kernel refuses: True if the next one is worth a try. It
    may raise. ``name`` stands for the socket in the log.
    """

    __slots__ = ("_goes_on", "_largest", "_name", "_offload", "_socket")

    def __init__(
        self, datagram_socket: socket.socket, name: str, goes_on: Callable[[OSError], bool], *, offload: bool
    ) -> None:
        self._socket = datagram_socket
        self._name = name
        self._goes_on = goes_on
        self._offload = offload and segments_runs(datagram_socket)
        # Address (None: the connected one) -> the largest datagram that may be part of a run, if limited.
        self._largest: dict[SocketAddress | None, int] = {}

    def send(self, datagrams: Sequence[Buffer], address: SocketAddress | None) -> int:
        """Send all in order, to the connected peer if ``address`` is None; returns how many were taken."""
        if self._offload and len(datagrams) > 1:
            return self._send_in_runs(datagrams, address)
        taken, _ = self._send_each(datagrams, address)
        return taken

    def _send_each(self, datagrams: Sequence[Buffer], address: SocketAddress | None) -> tuple[int, bool]:
        """How many were taken, and whether more are worth a try."""
        send, send_to = self._socket.send, self._socket.sendto
        taken = 0
        for datagram in datagrams:
            try:
                if address is None:
                    send(datagram)
                else:
                    send_to(datagram, address)
                taken += 1
            except OSError as exc:
                if not self._goes_on(exc):
                    return taken, False
        return taken, True

    def _send_in_runs(self, datagrams: Sequence[Buffer], address: SocketAddress | None) -> int:
        send, send_to, send_run = self._socket.send, self._socket.sendto, self._socket.sendmsg
        largest = self._largest_in_run(address)
        taken = start = 0
        total = len(datagrams)
        while start < total:
            first = datagrams[start]
            size = len(first)
            stop = start + 1
            if stop < total and 0 < len(datagrams[stop]) <= size <= largest:
                limit = min(total, start + min(LONGEST_RUN, LARGEST_RUN_BYTES // size))
                while stop < limit and len(datagrams[stop]) == size:
                    stop += 1
                # An empty datagram would vanish in the run.
                if stop < limit and 0 < len(datagrams[stop]) < size:
                    stop += 1
            try:
                if stop - start > 1:
                    length = size.to_bytes(2, sys.byteorder)
                    send_run(datagrams[start:stop], [(socket.SOL_UDP, UDP_SEGMENT, length)], 0, address)
                elif address is None:
                    send(first)
                else:
                    send_to(first, address)
                taken += stop - start
            except OSError as exc:
                if stop - start > 1 and exc.errno not in NO_ROOM_ERRNOS:
                    again, goes_on = self._send_again(datagrams[start:stop], address, exc)
                    taken += again
                    largest = self._largest_in_run(address)
                else:
                    goes_on = self._goes_on(exc)
                if not goes_on:
                    break
            start = stop
        return taken

    def _send_again(
        self, run: Sequence[Buffer], address: SocketAddress | None, refusal: OSError
    ) -> tuple[int, bool]:
        """Send a refused run one by one and learn from the refusal; returns what ``_send_each`` does."""
        if refusal.errno == errno.EIO and self._offload:
            self._offload = False
            _LOG.warning(
                "%s cannot segment what it sends: datagrams go out one by one from now on", self._name
            )
        taken, goes_on = self._send_each(run[:1], address)
        if taken == 1 and refusal.errno in _TOO_LONG_ERRNOS:
            if len(self._largest) >= CACHE_LIMIT:
                self._largest.clear()
            self._largest[address] = len(run[0]) - 1
        if not goes_on:
            return taken, False
        more, goes_on = self._send_each(run[1:], address)
        return taken + more, goes_on

    def _largest_in_run(self, address: SocketAddress | None) -> int:
        return self._largest.get(address, LARGEST_RUN_BYTES) if self._offload else 0
