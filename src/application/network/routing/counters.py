"""What a tunnel counts: plain integers, one thread, no lock."""


class TunnelCounters:
    """Packets and bytes inside the tunnel, and what was dropped and why.

    "In" is from the peer to the TUN device, "out" is from the TUN device to the peer. A
    super-packet counts as one packet.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "dropped_by_host",
        "dropped_malformed",
        "dropped_no_peer",
        "dropped_no_room",
        "dropped_source",
        "dropped_truncated",
        "dropped_unauthentic",
        "handshakes_accepted",
        "handshakes_challenged",
        "handshakes_dropped",
        "handshakes_refused",
        "packets_in",
        "packets_out",
    )

    def __init__(self) -> None:
        self.packets_in = 0
        self.bytes_in = 0
        self.packets_out = 0
        self.bytes_out = 0
        self.dropped_source = 0  # inner source address that the sender may not use
        self.dropped_no_peer = 0  # inner destination that no session has
        self.dropped_by_host = 0  # what the kernel would not take from the tunnel
        self.dropped_malformed = 0  # what a peer sent inside a frame and is no packet
        self.dropped_no_room = 0  # for a peer whose connection takes no more at the moment
        self.dropped_truncated = 0  # datagrams longer than the receive buffer
        self.dropped_unauthentic = 0  # forged, damaged, replayed or stale datagrams of a known route id
        self.handshakes_accepted = 0
        self.handshakes_dropped = 0  # datagrams of strangers beyond the bounds of the queue, or no message 1
        self.handshakes_refused = 0
        self.handshakes_challenged = 0

    def as_dict(self) -> dict[str, int]:
        """The counters that have counted something, by name."""
        return {name: count for name in self.__slots__ if (count := getattr(self, name))}
