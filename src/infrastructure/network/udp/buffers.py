"""The receive buffers of the data plane: allocated once, filled over and over."""

from application.network.udp.packet import Packet, PacketFlags
from domain.addressing.endpoint import Endpoint

_NOWHERE = Endpoint("0.0.0.0", 0)  # the source of a buffer that has not been filled yet


class DatagramBuffer:
    """One place in a batch; the attributes are those of ``Packet``.

    Raises ValueError if ``size_bytes`` is less than 1: into such a buffer nothing can be received.
    """

    __slots__ = ("data", "endpoint", "flags", "length", "segment_bytes", "view")

    data: bytearray
    view: memoryview
    length: int
    segment_bytes: int
    endpoint: Endpoint
    flags: int

    def __init__(self, size_bytes: int) -> None:
        if size_bytes < 1:
            raise ValueError(f"a datagram buffer of {size_bytes} bytes can receive nothing")
        self.data = bytearray(size_bytes)
        self.view = memoryview(self.data)
        self.length = self.segment_bytes = 0
        self.endpoint = _NOWHERE
        self.flags = int(PacketFlags.NONE)

    @classmethod
    def allocate(cls, count: int, size_bytes: int) -> "list[DatagramBuffer]":
        """``count`` buffers of ``size_bytes`` each, for one reader to keep. Raises ValueError as above."""
        return [cls(size_bytes) for _ in range(count)]


_packet: type[Packet] = DatagramBuffer
