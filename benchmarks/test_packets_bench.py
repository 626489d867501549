"""What packets cost beside their encryption: cut, joined, packed into records, summed.

Run: python -m pytest benchmarks/test_packets_bench.py --benchmark-enable -s
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from domain.packets.checksum import sum_of
from domain.packets.coalesce import coalesce
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import Parcel
from domain.packets.records import decode_untrusted, encode
from domain.packets.segment import segment, split
from tests.domain.packets.trains import FLOWS, TCP_IPV4, UDP_IPV4, Flow, some_payload

ROUNDS = 500
SEGMENTS = 48
SEGMENT_BYTES = 1360  # packets of 1388 to 1420 bytes
PAYLOAD = some_payload(SEGMENTS * SEGMENT_BYTES)
EACH_FLOW = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
SMALL = [replace(UDP_IPV4, ports=(port, 1)).packet(some_payload(36)) for port in range(500)]


def measure(benchmark: BenchmarkFixture, run: Callable[[], object], packets: int) -> None:
    """Time ``run`` over so many packets; report the fastest round and the median, in us per packet."""
    benchmark.pedantic(  # type: ignore[no-untyped-call]  # pytest-benchmark leaves it unannotated
        run, rounds=ROUNDS, warmup_rounds=20
    )
    stats = benchmark.stats
    if stats is not None:  # --benchmark-disable leaves none
        benchmark.extra_info["us_per_packet_min"] = round(stats.stats.min / packets * 1e6, 3)
        benchmark.extra_info["us_per_packet_median"] = round(stats.stats.median / packets * 1e6, 3)
        print(f"\n{benchmark.name}: {benchmark.extra_info}")


@pytest.mark.parametrize("size", [64, 1400, 65_000])
def test_sum(benchmark: BenchmarkFixture, size: int) -> None:
    data = some_payload(size)

    measure(benchmark, lambda: sum_of(data), 1)


@EACH_FLOW
def test_layout_of_a_super_packet(benchmark: BenchmarkFixture, flow: Flow) -> None:
    parcel = flow.train(PAYLOAD, SEGMENT_BYTES)

    measure(benchmark, lambda: layout_of_untrusted(*parcel), 1)


@EACH_FLOW
def test_segment(benchmark: BenchmarkFixture, flow: Flow) -> None:
    parcel = flow.train(PAYLOAD, SEGMENT_BYTES)

    measure(benchmark, lambda: segment(parcel), SEGMENTS)
    assert len(segment(parcel)) == SEGMENTS


def test_completing_a_partial_checksum(benchmark: BenchmarkFixture) -> None:
    parcel = (TCP_IPV4.partial(b""), 0, True)

    measure(benchmark, lambda: segment(parcel), 1)


@pytest.mark.parametrize("most_bytes", [1400, 8000, 32_000])
def test_split(benchmark: BenchmarkFixture, most_bytes: int) -> None:
    parcel = TCP_IPV4.train(PAYLOAD, SEGMENT_BYTES)

    measure(benchmark, lambda: split(parcel, most_bytes), len(split(parcel, most_bytes)))


@EACH_FLOW
def test_coalesce_one_flow(benchmark: BenchmarkFixture, flow: Flow) -> None:
    packets = flow.packets(PAYLOAD, SEGMENT_BYTES)

    measure(benchmark, lambda: coalesce(packets), SEGMENTS)
    assert len(coalesce(packets)) == 1


def test_coalesce_two_flows_that_alternate(benchmark: BenchmarkFixture) -> None:
    rows = zip(*(flow.packets(PAYLOAD, SEGMENT_BYTES) for flow in (TCP_IPV4, UDP_IPV4)), strict=True)
    packets = list(chain.from_iterable(rows))

    measure(benchmark, lambda: coalesce(packets), len(packets))
    assert len(coalesce(packets)) == 2


ALONE = {"small UDP of many flows": SMALL, "acknowledgements": [TCP_IPV4.packet(b"")] * 500}


@pytest.mark.parametrize("packets", ALONE.values(), ids=ALONE)
def test_coalesce_what_stays_alone(benchmark: BenchmarkFixture, packets: list[bytes]) -> None:
    measure(benchmark, lambda: coalesce(packets), len(packets))
    assert len(coalesce(packets)) == len(packets)


RECORDS: dict[str, list[Parcel]] = {
    "500 small packets": [(packet, 0, False) for packet in SMALL],
    "500 partial checksums": [(TCP_IPV4.partial(b""), 0, True)] * 500,
    "one super-packet": [TCP_IPV4.train(PAYLOAD, SEGMENT_BYTES)],
}


@pytest.mark.parametrize("parcels", RECORDS.values(), ids=RECORDS)
def test_encode(benchmark: BenchmarkFixture, parcels: list[Parcel]) -> None:
    measure(benchmark, lambda: encode(parcels), len(parcels))


@pytest.mark.parametrize("parcels", RECORDS.values(), ids=RECORDS)
def test_decode(benchmark: BenchmarkFixture, parcels: list[Parcel]) -> None:
    plaintext = encode(parcels)

    measure(benchmark, lambda: decode_untrusted(plaintext), len(parcels))
    assert decode_untrusted(plaintext) == (parcels, 0)
