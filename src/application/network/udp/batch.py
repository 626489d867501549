"""Reading and writing datagrams a batch at a time: the ports of the data plane.

A port is crossed once per batch, never once per datagram; and within a batch the kernel is asked once per
run (``domain.session.runs``), where it can join and cut datagrams.
"""

from collections.abc import Sequence
from typing import Protocol

from application.network.udp.packet import Packet
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.runs import SealedRun


class BatchIngress(Protocol):
    """Drains a UDP socket into buffers that the caller owns."""

    def read_batch(self, packets: Sequence[Packet]) -> int:
        """Read what is there into ``packets[0..n)``, a datagram or a run of them into each; returns n.

        Never blocks and never waits for a fuller batch: 0 means that nothing is there. Fewer than there are
        packets may leave something behind: a batch of large runs ends early. Order is the order of
        arrival. If the socket fails after n > 0 packets were filled, those n are delivered and the
        error is raised by the next call: no dequeued datagram is lost. What is longer than its buffer is
        delivered with PacketFlags.TRUNCATED set and counted; the caller must not use its bytes. Where
        the kernel joins datagrams, a buffer of 64 KiB holds any run.

        Raises ValueError if ``packets`` is empty or one of them has an empty ``data``, UdpError if the
        socket failed, UdpClosedError after close.
        """
        ...


class BatchEgress(Protocol):
    """Writes datagrams to one endpoint at a time."""

    def send_runs(self, runs: Sequence[SealedRun], endpoint: Endpoint) -> int:
        """Send the datagrams of all ``runs`` to ``endpoint`` in order; returns how many the kernel took.

        Never blocks: what the kernel has no room for is dropped, as a congested link would. A refusal that
        concerns this endpoint alone (no route, message too long, port unreachable) also drops the datagram.
        Raises UdpError if the socket itself failed, UdpClosedError after close. The caller may reuse the
        buffers when the call returns.
        """
        ...

    def send_batch(self, datagrams: Sequence[Buffer], endpoint: Endpoint) -> int:
        """The same for datagrams one by one."""
        ...
