"""How messages follow one another on a byte stream (specification 3.1).

::

    bytes    field
    0..1     length   u16 BE, of the body alone; 1 to 1518
    2..      body     a handshake message, or epoch and ciphertext (stream.py)

Every message of a connection is framed like this, those of the handshake included.

Errors::

    SessionError (nonce.py)
    └── FramingError   a length that no frame has; the connection must end
"""

from struct import Struct
from typing import Final

from domain.noise.primitives import Buffer
from domain.session.nonce import SessionError

LENGTH: Final = Struct(">H")
LENGTH_BYTES: Final = LENGTH.size
LONGEST_LENGTH: Final = (1 << 8 * LENGTH_BYTES) - 1  # what the field can say

# The protocol's (specification 3.1).
LARGEST_BODY_BYTES: Final = 1518


class FramingError(SessionError):
    """The other end claims a body of an impossible length: where the next frame begins is anybody's guess."""

    def __init__(self, length: int, largest_body_bytes: int) -> None:
        super().__init__(f"a frame claims {length} bytes; 1 to {largest_body_bytes} are allowed")
        self.length = length
        self.largest_body_bytes = largest_body_bytes


def framed(message: Buffer, largest_body_bytes: int = LARGEST_BODY_BYTES) -> bytes:
    """``message`` with its length in front. Raises ValueError if it is empty or too long."""
    size = len(message)
    if not 0 < size <= largest_body_bytes:
        raise ValueError(f"a frame holds 1 to {largest_body_bytes} bytes, not {size}")
    return LENGTH.pack(size) + message


def split_frames(
    stream_untrusted: Buffer, largest_body_bytes: int = LARGEST_BODY_BYTES
) -> tuple[list[memoryview], int]:
    """The bodies that are complete in a piece of stream, and how many bytes they take with their lengths.

    The piece begins where a frame does; the caller puts what is left over in front of the bytes that come
    next. The bodies are views into ``stream_untrusted``: valid until it is written to. Raises FramingError as
    soon as a length is zero or too long, whether or not its body is there; the frames that came before it in
    the same piece are lost, as the connection is.
    """
    stream = memoryview(stream_untrusted)
    size = len(stream)
    unpack_length = LENGTH.unpack_from
    bodies: list[memoryview] = []
    append = bodies.append
    taken = 0
    while (begin := taken + LENGTH_BYTES) <= size:
        (length,) = unpack_length(stream, taken)
        if not 0 < length <= largest_body_bytes:
            raise FramingError(length, largest_body_bytes)
        end = begin + length
        if end > size:
            break
        append(stream[begin:end])
        taken = end
    return bodies, taken
