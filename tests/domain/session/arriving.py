"""A stream that arrives piece by piece, as a connection sees it."""

from collections.abc import Iterable

from domain.session.framing import LARGEST_BODY_BYTES, FramingError, split_frames


def fed(
    pieces: Iterable[bytes], largest_body_bytes: int = LARGEST_BODY_BYTES
) -> tuple[list[bytes], bytes, FramingError | None]:
    """The bodies that came out, what is still incomplete, and the error that ended it, if any."""
    bodies: list[bytes] = []
    pending = b""
    for piece in pieces:
        pending += piece
        try:
            complete, taken = split_frames(pending, largest_body_bytes)
        except FramingError as error:
            return bodies, pending, error
        bodies += map(bytes, complete)
        pending = pending[taken:]
    return bodies, pending, None


def byte_by_byte(stream: bytes) -> list[bytes]:
    """The smallest pieces there are."""
    return [stream[position : position + 1] for position in range(len(stream))]
