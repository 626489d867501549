"""What sealing and opening cost per frame, beside the bare AEAD call that nobody can save.

Run: python -m pytest benchmarks/test_session_bench.py
"""

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Buffer
from domain.session.datagram import DatagramSession
from domain.session.framing import split_frames
from domain.session.replay import ReplayWindow
from domain.session.stream import StreamSession
from tests.adapters.primitives import PlainPrimitives

PAYLOAD_BYTES = 1400
ROUNDS = 1000
PRIMITIVES = PlainPrimitives()
KEYS = EpochKeys(bytes(32), bytes([1]) * 32)
SESSION_ID = SessionId(bytes(range(32)))
BATCH_SIZES = pytest.mark.parametrize("size", [1, 8, 64])


def session(role: Role) -> DatagramSession:
    return DatagramSession(PRIMITIVES, role, SESSION_ID, KEYS)


def stream_session(role: Role) -> StreamSession:
    return StreamSession(PRIMITIVES, role, SESSION_ID, KEYS)


def measure(
    benchmark: BenchmarkFixture, run: Callable[[], None], size: int, setup: Callable[[], None] | None = None
) -> None:
    """Time ``run`` over ``size`` frames; report the fastest round and the median, in us per frame."""
    benchmark.pedantic(  # type: ignore[no-untyped-call]  # pytest-benchmark leaves it unannotated
        run, setup=setup, rounds=ROUNDS, warmup_rounds=50
    )
    stats = benchmark.stats
    if stats is not None:  # --benchmark-disable leaves none
        benchmark.extra_info["us_per_frame_min"] = round(stats.stats.min / size * 1e6, 3)
        benchmark.extra_info["us_per_frame_median"] = round(stats.stats.median / size * 1e6, 3)
        print(f"\n{benchmark.name}: {benchmark.extra_info}")


@BATCH_SIZES
def test_bare_encrypt(benchmark: BenchmarkFixture, size: int) -> None:
    encrypt = PRIMITIVES.aead(bytes(32)).encrypt
    nonce, payload, associated_data = bytes(12), bytes(PAYLOAD_BYTES), bytes(60)

    def run() -> None:
        for _ in range(size):
            encrypt(nonce, payload, associated_data)

    measure(benchmark, run, size)


@BATCH_SIZES
def test_bare_decrypt(benchmark: BenchmarkFixture, size: int) -> None:
    aead = PRIMITIVES.aead(bytes(32))
    nonce, associated_data = bytes(12), bytes(60)
    ciphertext = aead.encrypt(nonce, bytes(PAYLOAD_BYTES), associated_data)
    decrypt = aead.decrypt

    def run() -> None:
        for _ in range(size):
            decrypt(nonce, ciphertext, associated_data)

    measure(benchmark, run, size)


@BATCH_SIZES
def test_seal(benchmark: BenchmarkFixture, size: int) -> None:
    client = session(Role.CLIENT)
    plaintexts = [bytes(PAYLOAD_BYTES)] * size

    def run() -> None:
        client.seal(plaintexts)

    measure(benchmark, run, size)
    assert len(client.seal(plaintexts)) == size


def into_bytes(datagram: bytes) -> Buffer:
    return datagram


def into_view(datagram: bytes) -> Buffer:
    return memoryview(bytearray(datagram))


@BATCH_SIZES
@pytest.mark.parametrize("into", [into_bytes, into_view])
def test_open(benchmark: BenchmarkFixture, size: int, into: Callable[[bytes], Buffer]) -> None:
    client, server = session(Role.CLIENT), session(Role.SERVER)
    plaintexts = [bytes(PAYLOAD_BYTES)] * size

    batch: list[Buffer] = []

    def receive_fresh_batch() -> None:
        batch[:] = [into(datagram) for datagram in client.seal(plaintexts)]

    def run() -> None:
        server.open(batch)

    measure(benchmark, run, size, receive_fresh_batch)
    receive_fresh_batch()
    assert server.open(batch).authenticated == size
    assert server.drops.replayed == 0


@BATCH_SIZES
def test_seal_for_a_stream(benchmark: BenchmarkFixture, size: int) -> None:
    client = stream_session(Role.CLIENT)
    plaintexts = [bytes(PAYLOAD_BYTES)] * size

    def run() -> None:
        client.seal(plaintexts)

    measure(benchmark, run, size)
    assert len(client.seal(plaintexts)) == size


@BATCH_SIZES
def test_split_and_open_a_stream(benchmark: BenchmarkFixture, size: int) -> None:
    client, server = stream_session(Role.CLIENT), stream_session(Role.SERVER)
    plaintexts = [bytes(PAYLOAD_BYTES)] * size

    received = bytearray()

    def receive_next_batch() -> None:
        received[:] = b"".join(client.seal(plaintexts))

    def run() -> None:
        bodies, _ = split_frames(received)
        server.open(bodies)

    measure(benchmark, run, size, receive_next_batch)
    receive_next_batch()
    bodies, _ = split_frames(received)
    assert server.open(bodies).authenticated == size


def test_replay_window_in_order(benchmark: BenchmarkFixture) -> None:
    counters = range(1, 1001)

    def run() -> None:
        window = ReplayWindow()
        for low in counters:
            if window.is_fresh(0, low):
                window.accept(0, low)

    measure(benchmark, run, len(counters))
