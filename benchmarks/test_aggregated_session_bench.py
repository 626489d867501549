"""What aggregated frames cost per super-packet and per small packet, beside the AEAD call in them.

Run: python -m pytest benchmarks/test_aggregated_session_bench.py --benchmark-enable -s
"""

from collections.abc import Callable
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.packets.parcel import Parcel
from domain.session.aggregated_datagrams import AggregatedDatagrams
from domain.session.aggregated_stream import AggregatedStream
from domain.session.datagram import DatagramSession
from domain.session.framing import LENGTH_BYTES
from domain.session.plain_parcels import PlainParcels
from domain.session.runs import ReceivedRun, SealedRun, cut
from tests.adapters.primitives import PlainPrimitives
from tests.domain.packets.trains import TCP_IPV4, UDP_IPV4, some_payload

MTU_BYTES: Final = 1420
SEGMENT_BYTES: Final = MTU_BYTES - 40
ROUNDS: Final = 300
PRIMITIVES: Final = PlainPrimitives()
KEYS: Final = EpochKeys(bytes(32), bytes([1]) * 32)
SESSION_ID: Final = SessionId(bytes(range(32)))

SUPER_PACKET: Final = [TCP_IPV4.train(some_payload(47 * SEGMENT_BYTES), SEGMENT_BYTES)]
SMALL_PACKETS: Final[list[Parcel]] = [(UDP_IPV4.packet(some_payload(36)), 0, False)] * 64
LOADS: Final = {"super-packet": SUPER_PACKET, "64 small": SMALL_PACKETS}
EACH_LOAD: Final = pytest.mark.parametrize("load", LOADS)


def datagrams(role: Role) -> AggregatedDatagrams:
    return AggregatedDatagrams(PRIMITIVES, role, SESSION_ID, KEYS, mtu_bytes=MTU_BYTES)


def stream(role: Role) -> AggregatedStream:
    return AggregatedStream(PRIMITIVES, role, SESSION_ID, KEYS, mtu_bytes=MTU_BYTES)


def plain(role: Role) -> PlainParcels:
    return PlainParcels(DatagramSession(PRIMITIVES, role, SESSION_ID, KEYS))


def measure(
    benchmark: BenchmarkFixture,
    run: Callable[[], None],
    parcels: list[Parcel],
    setup: Callable[[], None] | None = None,
) -> None:
    """Time ``run`` over all ``parcels``; report the fastest round and the median, in us per parcel."""
    benchmark.pedantic(  # type: ignore[no-untyped-call]  # pytest-benchmark leaves it unannotated
        run, setup=setup, rounds=ROUNDS, warmup_rounds=20
    )
    stats = benchmark.stats
    if stats is not None:  # --benchmark-disable leaves none
        benchmark.extra_info["us_per_parcel_min"] = round(stats.stats.min / len(parcels) * 1e6, 3)
        benchmark.extra_info["us_per_parcel_median"] = round(stats.stats.median / len(parcels) * 1e6, 3)
        print(f"\n{benchmark.name}: {benchmark.extra_info}")


@EACH_LOAD
def test_bare_aead(benchmark: BenchmarkFixture, load: str) -> None:
    aead = PRIMITIVES.aead(bytes(32))
    plaintext = b"".join(packet for packet, _, _ in LOADS[load])
    nonce, associated_data = bytes(12), bytes(60)

    def run() -> None:
        aead.decrypt(nonce, aead.encrypt(nonce, plaintext, associated_data), associated_data)

    measure(benchmark, run, LOADS[load])


@EACH_LOAD
def test_seal_for_datagrams(benchmark: BenchmarkFixture, load: str) -> None:
    client, parcels = datagrams(Role.CLIENT), LOADS[load]

    def run() -> None:
        client.seal_parcels(parcels)

    measure(benchmark, run, parcels)
    assert len(client.seal_parcels(parcels)) == 1


def as_run(runs: list[SealedRun]) -> list[ReceivedRun]:
    """As a kernel that joins datagrams hands them over."""
    return [(bytearray(run), size) for run, size in runs]


def one_by_one(runs: list[SealedRun]) -> list[ReceivedRun]:
    """As any other kernel does."""
    return [(memoryview(bytearray(piece)), len(piece)) for run in runs for piece in cut(run)]


@EACH_LOAD
@pytest.mark.parametrize("arriving", [as_run, one_by_one])
def test_open_datagrams(
    benchmark: BenchmarkFixture, load: str, arriving: Callable[[list[SealedRun]], list[ReceivedRun]]
) -> None:
    client, server, parcels = datagrams(Role.CLIENT), datagrams(Role.SERVER), LOADS[load]
    received: list[ReceivedRun] = []

    def receive() -> None:
        received[:] = arriving(client.seal_parcels(parcels))

    def run() -> None:
        server.open_parcels(received)

    measure(benchmark, run, parcels, receive)
    receive()
    assert server.open_parcels(received).parcels == parcels


@EACH_LOAD
def test_seal_for_a_stream(benchmark: BenchmarkFixture, load: str) -> None:
    client, parcels = stream(Role.CLIENT), LOADS[load]

    def run() -> None:
        client.seal_parcels(parcels)

    measure(benchmark, run, parcels)
    assert len(client.seal_parcels(parcels)) == 1


@EACH_LOAD
def test_open_a_stream(benchmark: BenchmarkFixture, load: str) -> None:
    client, server, parcels = stream(Role.CLIENT), stream(Role.SERVER), LOADS[load]
    received: list[ReceivedRun] = []

    def receive() -> None:
        received[:] = [
            (run[LENGTH_BYTES:], size - LENGTH_BYTES) for run, size in client.seal_parcels(parcels)
        ]

    def run() -> None:
        server.open_parcels(received)

    measure(benchmark, run, parcels, receive)
    receive()
    assert server.open_parcels(received).parcels == parcels


@EACH_LOAD
def test_seal_for_a_plain_peer(benchmark: BenchmarkFixture, load: str) -> None:
    client, parcels = plain(Role.CLIENT), LOADS[load]

    def run() -> None:
        client.seal_parcels(parcels)

    measure(benchmark, run, parcels)
    assert len(client.seal_parcels(parcels)) <= 2


@EACH_LOAD
def test_open_from_a_plain_peer(benchmark: BenchmarkFixture, load: str) -> None:
    client, server, parcels = plain(Role.CLIENT), plain(Role.SERVER), LOADS[load]
    received: list[ReceivedRun] = []

    def receive() -> None:
        received[:] = as_run(client.seal_parcels(parcels))

    def run() -> None:
        server.open_parcels(received)

    measure(benchmark, run, parcels, receive)
    receive()
    opened = server.open_parcels(received)
    assert opened.dropped == 0
    assert opened.parcels
