"""Key material and entropy of the handshake tests."""

from collections import deque
from collections.abc import Callable, Iterable

from domain.noise.keys import KeyPair
from domain.noise.message import Capability
from infrastructure.cryptography.primitives import PycaPrimitives

PRIMITIVES = PycaPrimitives()
EVERY_CAPABILITY = frozenset(Capability)


def run_of(first: int, size: int = 32) -> bytes:
    """``first``, ``first + 1`` and so on: the R(x) of the specification's appendix A."""
    return bytes(range(first, first + size))


SERVER = KeyPair.from_private(PRIMITIVES, run_of(0x00))
CLIENT = KeyPair.from_private(PRIMITIVES, run_of(0x20))
CLIENT_EPHEMERAL = run_of(0x40)
SERVER_EPHEMERAL = run_of(0x60)
COOKIE_SECRET = run_of(0xC0)
UNIX_S = 1_700_000_000
CLIENT_HOST = "192.0.2.1"

# Every encoding of a point whose X25519 result is zero (RFC 7748 section 6.1; orders 1, 2, 4 and 8, with the
# non-canonical ones).
LOW_ORDER_POINTS = [
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
]


def scripted_entropy(drawn: Iterable[bytes]) -> Callable[[int], bytes]:
    """Entropy that is known beforehand; drawing another size or more than there is fails the test."""
    remaining = deque(drawn)

    def draw(size: int) -> bytes:
        value = remaining.popleft()
        assert len(value) == size
        return value

    return draw


def counted_entropy() -> Callable[[int], bytes]:
    """Entropy without an end that never repeats itself and is the same in every run."""
    drawn = 0

    def draw(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return drawn.to_bytes(4, "big") + bytes(size - 4)

    return draw
