"""Reading and writing datagrams a batch at a time: the ports of the data plane.

A port is crossed once per batch, never once per datagram.
"""

from collections.abc import Sequence
from typing import Protocol

from application.network.udp.packet import Packet
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer


class BatchIngress(Protocol):
    """Drains a UDP socket into buffers that the caller owns."""

    def read_batch(self, packets: Sequence[Packet]) -> int:
        """Read what is there, at most ``len(packets)`` datagrams, into ``packets[0..n)``; returns n.

        Never blocks and never waits for a fuller batch: 0 means that nothing is there. Order is the order of
        arrival. If the socket fails after n > 0 datagrams were dequeued, those n are delivered and the
        error is raised by the next call: no dequeued datagram is lost. A datagram longer than its buffer is
        delivered with PacketFlags.TRUNCATED set and counted; the caller must not use its bytes.

        Raises ValueError if ``packets`` is empty or one of them has an empty ``data``, UdpError if the
        socket failed, UdpClosedError after close.
        """
        ...


class BatchEgress(Protocol):
    """Writes datagrams to one endpoint at a time."""

    def send_batch(self, datagrams: Sequence[Buffer], endpoint: Endpoint) -> int:
        """Send all ``datagrams`` to ``endpoint`` in order; returns how many the kernel took.

        Never blocks: what the kernel has no room for is dropped, as a congested link would. A refusal that
        concerns this endpoint alone (no route, message too long, port unreachable) also drops the datagram.
        Raises UdpError if the socket itself failed, UdpClosedError after close. The caller may reuse the
        buffers when the call returns.
        """
        ...
