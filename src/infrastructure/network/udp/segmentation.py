"""Sending runs of datagrams that the kernel takes apart (UDP_SEGMENT).

Datagrams of one length, the last of them perhaps shorter, go to the kernel back to back in one system call,
with their length in a control message (a native unsigned short).

A run that is refused for any reason but a want of room is sent again at once, one datagram after the other,
so that nothing is lost and the order stays; what happens to each is then decided as if there were no runs.
From the refusal this is learnt:

=====================  =================================================================================
EIO                    the way out cannot segment: this socket sends no more runs
EINVAL, EMSGSIZE       if the first of the run goes out alone, it is too long for the path's MTU: it can be
                       fragmented, not segmented. Datagrams that long go alone to this address for a while
ECONNREFUSED           nothing: an earlier datagram has been answered by ICMP, and this one was not tried
anything else          nothing; and nothing from EINVAL if the first alone is refused, too: the address or the
                       socket's own is at fault
=====================  =================================================================================
"""

import errno
import logging
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from domain.noise.primitives import Buffer
from domain.session.runs import SealedRun, cut
from infrastructure.network.addresses import CACHE_LIMIT, SocketAddress

# linux/udp.h; the socket module has no name for it.
UDP_SEGMENT: Final = 103

# UDP_MAX_SEGMENTS, the smallest that kernels have had; newer ones take 128.
LONGEST_RUN: Final = 64

# Ours: below the 65 507 bytes of the largest UDP datagram over IPv4, so that no run fails for its own length.
LARGEST_RUN_BYTES: Final = 65_000

# Ours: how long a path is thought to be too narrow for runs of a length: it may be another one by then.
REMEMBERED_S: Final = 600.0

# Ours: a message arrives in the microseconds between two tries only under a flood.
TRIES_AFTER_ICMP: Final = 8

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
    """Sends runs of datagrams through one socket, each in one call if ``offload`` and if the kernel can.

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
        # Address (None: the connected one) -> the largest datagram that may be part of a run, and until when.
        self._largest: dict[SocketAddress | None, tuple[int, float]] = {}

    def send(self, runs: Sequence[SealedRun], address: SocketAddress | None) -> int:
        """Send all in order, to the connected peer if ``address`` is None; returns how many datagrams were
        taken.
        """
        send, send_to = self._socket.send, self._socket.sendto
        taken = 0
        for run in runs:
            frames, size = run
            if len(frames) > size:
                sent, goes_on = self._send_run(frames, size, address)
                taken += sent
                if not goes_on:
                    break
                continue
            try:
                if address is None:
                    send(frames)
                else:
                    send_to(frames, address)
                taken += 1
            except OSError as exc:
                sent, goes_on = self._send_after(exc, frames, address)
                taken += sent
                if not goes_on:
                    break
        return taken

    def _send_run(self, frames: Buffer, size: int, address: SocketAddress | None) -> tuple[int, bool]:
        """Send datagrams of ``size`` bytes; how many were taken, and whether more are worth a try."""
        if not self._offload or size > self._largest_in_run(address):
            return self._send_each(cut((frames, size)), address)
        most_bytes = size * min(LONGEST_RUN, LARGEST_RUN_BYTES // size)
        if len(frames) <= most_bytes:
            return self._send_part(frames, size, address)
        view = memoryview(frames)
        taken = 0
        for start in range(0, len(frames), most_bytes):
            sent, goes_on = self._send_part(view[start : start + most_bytes], size, address)
            taken += sent
            if not goes_on:
                return taken, False
        return taken, True

    def _send_part(self, frames: Buffer, size: int, address: SocketAddress | None) -> tuple[int, bool]:
        """The same for what one system call takes."""
        if len(frames) <= size:
            return self._send_each((frames,), address)
        length = size.to_bytes(2, sys.byteorder)
        try:
            self._socket.sendmsg((frames,), [(socket.SOL_UDP, UDP_SEGMENT, length)], 0, address)
        except OSError as exc:
            if exc.errno in NO_ROOM_ERRNOS:
                return 0, self._goes_on(exc)
            if exc.errno == errno.ECONNREFUSED and address is None:
                self._goes_on(exc)  # nobody else will hear of it
            return self._send_again(cut((frames, size)), address, exc)
        return -(-len(frames) // size), True

    def _send_each(self, datagrams: Sequence[Buffer], address: SocketAddress | None) -> tuple[int, bool]:
        """Send them one by one; returns what ``_send_run`` does."""
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
                sent, goes_on = self._send_after(exc, datagram, address)
                taken += sent
                if not goes_on:
                    return taken, False
        return taken, True

    def _send_after(
        self, refusal: OSError, datagram: Buffer, address: SocketAddress | None
    ) -> tuple[int, bool]:
        """What became of a datagram after ``refusal``; returns what ``_send_run`` does.

        A connected socket reports an ICMP message, which anybody can send, in place of sending. So that a
        flood of them does not keep everything in, the datagram is tried again.
        """
        for _ in range(TRIES_AFTER_ICMP):
            goes_on = self._goes_on(refusal)
            if refusal.errno != errno.ECONNREFUSED or address is not None:
                return 0, goes_on
            try:
                self._socket.send(datagram)
            except OSError as exc:
                refusal = exc
            else:
                return 1, True
        return 0, self._goes_on(refusal)

    def _send_again(
        self, datagrams: Sequence[Buffer], address: SocketAddress | None, refusal: OSError
    ) -> tuple[int, bool]:
        """Send a refused run one by one and learn from the refusal; returns what ``_send_run`` does."""
        if refusal.errno == errno.EIO and self._offload:
            self._offload = False
            _LOG.warning(
                "%s cannot segment what it sends: datagrams go out one by one from now on", self._name
            )
        taken, goes_on = self._send_each(datagrams[:1], address)
        if taken == 1 and refusal.errno in _TOO_LONG_ERRNOS:
            if len(self._largest) >= CACHE_LIMIT:
                self._largest.clear()
            self._largest[address] = len(datagrams[0]) - 1, time.monotonic() + REMEMBERED_S
        if not goes_on:
            return taken, False
        more, goes_on = self._send_each(datagrams[1:], address)
        return taken + more, goes_on

    def _largest_in_run(self, address: SocketAddress | None) -> int:
        known = self._largest.get(address)
        if known is None:
            return LARGEST_RUN_BYTES
        largest, until_s = known
        if time.monotonic() >= until_s:
            del self._largest[address]
            return LARGEST_RUN_BYTES
        return largest
