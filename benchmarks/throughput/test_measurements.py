import json

import pytest

from benchmarks.throughput.measurements import (
    MeasurementError,
    Transfer,
    parse_peak_mib,
    parse_small_packets,
    parse_transfer,
    percentile,
)


def report(**end: object) -> str:
    intervals = [
        {"sum": {"bytes": 1000, "omitted": True}},
        {"sum": {"bytes": 3000, "omitted": False}},
    ]
    return json.dumps({"intervals": intervals, "end": end})


def test_a_rate_is_that_of_the_receiver_and_the_size_includes_what_the_rate_omits() -> None:
    text = report(sum_sent={"bits_per_second": 9e9}, sum_received={"bits_per_second": 2.5e9})

    assert parse_transfer(text) == Transfer(gigabits_per_second=2.5, size_bytes=4000)


def test_small_packets_are_counted_where_they_arrive() -> None:
    text = report(sum={"bits_per_second": 9e9}, sum_received={"bits_per_second": 64 * 8 * 1000})

    assert parse_small_packets(text) == 1000


def test_what_iperf3_complains_about_is_passed_on() -> None:
    with pytest.raises(MeasurementError, match="the server is busy"):
        parse_transfer(json.dumps({"error": "the server is busy", "end": {}, "intervals": []}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        report(),
        report(sum_received={}),
        report(sum_received={"bits_per_second": "fast"}),
    ],
)
def test_what_is_no_report_is_refused(text: str) -> None:
    for parse in (parse_transfer, parse_small_packets):
        with pytest.raises(MeasurementError):
            parse(text)


def test_the_peak_is_read_in_mebibytes() -> None:
    assert parse_peak_mib("Name:\ttungo\nVmPeak:\t  9216 kB\nVmHWM:\t  2560 kB\nVmRSS:\t  1024 kB\n") == 2.5


def test_a_process_that_has_ended_has_no_peak() -> None:
    with pytest.raises(MeasurementError, match="ended"):
        parse_peak_mib("Name:\ttungo\nState:\tZ (zombie)\n")


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50.0), (99, 99.0), (99.5, 100.0), (100, 100.0), (0, 1.0)]
)
def test_a_percentile_is_one_of_the_samples(percent: float, expected: float) -> None:
    samples = [float(number) for number in range(100, 0, -1)]

    assert percentile(samples, percent) == expected


def test_one_sample_is_every_percentile() -> None:
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0
