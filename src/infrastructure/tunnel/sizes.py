"""How large the data plane's buffers are."""

from typing import Final

from domain.noise.message import LARGEST_MESSAGE_BYTES
from domain.session.nonce import DATAGRAM_OVERHEAD_BYTES

# Ours: a batch is what one pass reads from the TUN device. 64 packets of 1 400 bytes are 1 ms of a saturated
# gigabit, so that a batch amortises every call made once per batch and still adds no delay that anybody would
# notice.
BATCH_SIZE: Final = 64

# The Go program sends up to this many bytes in a datagram, whatever the MTU (protocol specification 6.2).
_LARGEST_GO_DATAGRAM_BYTES: Final = 1536


def datagram_buffer_bytes(mtu_bytes: int) -> int:
    """The largest datagram that can be meant for a tunnel of this MTU, data or handshake."""
    return max(mtu_bytes + DATAGRAM_OVERHEAD_BYTES, LARGEST_MESSAGE_BYTES, _LARGEST_GO_DATAGRAM_BYTES)


# Ours: how many receive buffers for datagrams there are where the kernel does not join them, and where it
# does: there each holds up to 64 KiB, and few are filled again before they have left the processor's cache.
DATAGRAM_BUFFERS: Final = 64
RUN_BUFFERS: Final = 16
