"""How large the data plane's buffers are."""

from typing import Final

from domain.noise.message import LARGEST_MESSAGE_BYTES
from domain.session.nonce import DATAGRAM_OVERHEAD_BYTES

# Ours: a batch is what one pass moves. 64 datagrams of 1 400 bytes are 1 ms of a saturated gigabit, so that
# a batch amortises every call made once per batch and still adds no delay that anybody would notice.
BATCH_SIZE: Final = 64

# The Go program sends up to this many bytes in a datagram, whatever the MTU (protocol specification 6.2).
_LARGEST_GO_DATAGRAM_BYTES: Final = 1536


def datagram_buffer_bytes(mtu_bytes: int) -> int:
    """The largest datagram that can be meant for a tunnel of this MTU, data or handshake."""
    return max(mtu_bytes + DATAGRAM_OVERHEAD_BYTES, LARGEST_MESSAGE_BYTES, _LARGEST_GO_DATAGRAM_BYTES)
