"""What one handshake costs a server's processor; the slowest outcome should stay below 0.6 ms."""

import os
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from domain.addressing.peers import AccessList, Peer
from domain.noise.client import ClientHandshake
from domain.noise.cookie import CookieJar
from domain.noise.keys import KeyPair
from domain.noise.load import LOAD_THRESHOLD, LoadMonitor, TokenBucket
from domain.noise.server import Accepted, Challenge, HandshakeRejectedError, ServerHandshake
from infrastructure.cryptography.primitives import PycaPrimitives

PRIMITIVES = PycaPrimitives()
SERVER_KEYS = KeyPair.from_private(PRIMITIVES, bytes([200]) * 32)
CLIENT_KEYS = KeyPair.from_private(PRIMITIVES, bytes([1]) * 32)
STRANGER_KEYS = KeyPair.from_private(PRIMITIVES, bytes([2]) * 32)
SOURCE = "198.51.100.7"
NOW_S = 1000.0


def server(*, flooded: bool = False) -> ServerHandshake:
    """One that knows the client and has every reply that it may send still before it."""
    monitor = LoadMonitor()
    if flooded:
        for _ in range(LOAD_THRESHOLD + 1):
            monitor.record(NOW_S - 1)
    return ServerHandshake(
        PRIMITIVES,
        SERVER_KEYS,
        AccessList([Peer(CLIENT_KEYS.public, 1)]),
        CookieJar(bytes(32)),
        load_monitor=monitor,
        cookie_reply_limit=TokenBucket(1e9, burst=1_000_000_000),
    )


def message_1_of(keys: KeyPair) -> bytes:
    return ClientHandshake(PRIMITIVES, SERVER_KEYS.public, keys).start(NOW_S, os.urandom)


def response(handshake: ServerHandshake, message_untrusted: bytes) -> Callable[[], Accepted | Challenge]:
    """One call of ``respond``, always at the same moment."""

    def respond() -> Accepted | Challenge:
        return handshake.respond(
            message_untrusted, source_host=SOURCE, now_s=NOW_S, unix_s=1_700_000_000, entropy=os.urandom
        )

    return respond


def test_accepted(benchmark: BenchmarkFixture) -> None:
    assert isinstance(benchmark(response(server(), message_1_of(CLIENT_KEYS))), Accepted)


def test_challenged(benchmark: BenchmarkFixture) -> None:
    assert isinstance(benchmark(response(server(flooded=True), message_1_of(CLIENT_KEYS))), Challenge)


def mac1_is_wrong() -> bytes:
    message = message_1_of(CLIENT_KEYS)
    return message[:1] + bytes([message[1] ^ 1]) + message[2:]


def sender_is_unknown() -> bytes:
    return message_1_of(STRANGER_KEYS)


def version_is_wrong() -> bytes:
    return b"\x02" + message_1_of(CLIENT_KEYS)[1:]


@pytest.mark.parametrize("because", [version_is_wrong, mac1_is_wrong, sender_is_unknown])
def test_refused(benchmark: BenchmarkFixture, because: Callable[[], bytes]) -> None:
    respond = response(server(), because())

    def refuse() -> None:
        with pytest.raises(HandshakeRejectedError):
            respond()

    benchmark(refuse)
