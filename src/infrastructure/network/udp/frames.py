"""The runs of one session out of the datagrams of one connected socket."""

from collections.abc import Sequence

from application.network.connection.ingress import FrameIngress
from application.network.connection.transport import TransportError
from application.network.routing.counters import TunnelCounters
from application.network.udp.batch import BatchIngress
from application.network.udp.listener import UdpError
from application.network.udp.packet import Packet
from domain.session.runs import ReceivedRun


class DatagramFrames:
    """What fits its buffer is a run; what does not is counted and dropped.

    ``packets`` is the batch that is read into. Several readers may share it, as long as the runs of one are
    used before another reads.
    """

    __slots__ = ("_counters", "_packets", "_reader")

    def __init__(self, reader: BatchIngress, packets: Sequence[Packet], counters: TunnelCounters) -> None:
        self._reader = reader
        self._packets = packets
        self._counters = counters

    def read_runs(self) -> Sequence[ReceivedRun]:
        packets = self._packets
        try:
            count = self._reader.read_batch(packets)
        except UdpError as exc:
            raise TransportError(str(exc)) from exc
        runs: list[ReceivedRun] = [
            (packet.view[: packet.length], packet.segment_bytes)
            for packet in packets[:count]
            if not packet.flags
        ]
        self._counters.dropped_truncated += count - len(runs)
        return runs


_: type[FrameIngress] = DatagramFrames
