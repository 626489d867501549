"""A real socket that gives the kernel's rarer answers when a test wants them."""

import errno
import socket
import sys
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, overload

from infrastructure.network.addresses import SocketAddress
from infrastructure.network.udp.coalescing import UDP_GRO
from infrastructure.network.udp.segmentation import UDP_SEGMENT

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    Control = tuple[int, int, ReadableBuffer]
    ReceivedControls = list[tuple[int, int, bytes]]
    Address = tuple[object, ...] | str | ReadableBuffer


class FaultySocket(socket.socket):
    """A real socket, of datagrams unless another ``kind`` is asked for, whose next calls can be made to fail.

    ``receive_faults``, ``send_faults``, ``connect_faults`` and ``accept_faults`` are consumed one per call:
    an errno to fail with, or 0 to let the call through; when they are used up every call goes through.
    ``runs_sent`` lists the number of datagrams in each run that went through.

    Setting one of ``privileged_options`` fails with EPERM, as it does without capabilities; without
    ``offloads`` the options for runs fail with ENOPROTOOPT, as on a kernel that does not know them.
    """

    def __init__(
        self,
        family: int,
        privileged_options: frozenset[int] = frozenset(),
        *,
        offloads: bool = True,
        kind: int = socket.SOCK_DGRAM,
    ) -> None:
        super().__init__(family, kind)
        self.privileged_options = privileged_options
        self.offloads = offloads
        self.receive_faults: deque[int] = deque()
        self.send_faults: deque[int] = deque()
        self.connect_faults: deque[int] = deque()
        self.accept_faults: deque[int] = deque()
        self.runs_sent: list[int] = []

    def connect(self, address: "tuple[object, ...] | str | ReadableBuffer", /) -> None:
        _raise_next(self.connect_faults)
        super().connect(address)

    def accept(self) -> tuple[socket.socket, SocketAddress]:
        _raise_next(self.accept_faults)
        return super().accept()

    def recvfrom_into(
        self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0
    ) -> tuple[int, SocketAddress]:
        _raise_next(self.receive_faults)
        return super().recvfrom_into(buffer, nbytes, flags)

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        _raise_next(self.receive_faults)
        return super().recv_into(buffer, nbytes, flags)

    def recvmsg_into(
        self, buffers: "Iterable[WriteableBuffer]", ancbufsize: int = 0, flags: int = 0, /
    ) -> "tuple[int, ReceivedControls, int, SocketAddress]":
        _raise_next(self.receive_faults)
        return super().recvmsg_into(buffers, ancbufsize, flags)

    def sendmsg(
        self,
        buffers: "Iterable[ReadableBuffer]",
        ancdata: "Iterable[Control]" = (),
        flags: int = 0,
        address: "Address | None" = None,
        /,
    ) -> int:
        _raise_next(self.send_faults)
        datagrams = list(buffers)
        sent = super().sendmsg(datagrams, ancdata, flags, address)
        segment_bytes = int.from_bytes(bytes(next(iter(ancdata))[2]), sys.byteorder)
        self.runs_sent.append(-(-sum(memoryview(datagram).nbytes for datagram in datagrams) // segment_bytes))
        return sent

    def send(self, data: "ReadableBuffer", flags: int = 0, /) -> int:
        _raise_next(self.send_faults)
        return super().send(data, flags)

    @overload
    def sendto(
        self, data: "ReadableBuffer", address: "tuple[object, ...] | str | ReadableBuffer", /
    ) -> int: ...
    @overload
    def sendto(
        self, data: "ReadableBuffer", flags: int, address: "tuple[object, ...] | str | ReadableBuffer", /
    ) -> int: ...
    def sendto(
        self,
        data: "ReadableBuffer",
        flags_or_address: "int | tuple[object, ...] | str | ReadableBuffer",
        address: "tuple[object, ...] | str | ReadableBuffer | None" = None,
        /,
    ) -> int:
        _raise_next(self.send_faults)
        if isinstance(flags_or_address, int):
            assert address is not None
            return super().sendto(data, flags_or_address, address)
        return super().sendto(data, flags_or_address)

    @overload
    def setsockopt(self, level: int, optname: int, value: "int | ReadableBuffer", /) -> None: ...
    @overload
    def setsockopt(self, level: int, optname: int, value: None, optlen: int, /) -> None: ...
    def setsockopt(
        self, level: int, optname: int, value: "int | ReadableBuffer | None", optlen: int = 0, /
    ) -> None:
        if level == socket.SOL_SOCKET and optname in self.privileged_options:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        if not self.offloads and level == socket.SOL_UDP and optname in (UDP_GRO, UDP_SEGMENT):
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        if value is None:
            super().setsockopt(level, optname, value, optlen)
        else:
            super().setsockopt(level, optname, value)


def _raise_next(faults: deque[int]) -> None:
    if faults and (number := faults.popleft()):
        raise OSError(number, "made to fail")
