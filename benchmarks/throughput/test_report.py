import json

from benchmarks.throughput.report import Failure, Turn, document, rounded, rows_of, scenarios_of, table
from benchmarks.throughput.visits import Metric

TURNS = [
    Turn(1, "alone", "udp-plain", {Metric.UP: 1.0, Metric.CPU: 6.0}),
    Turn(1, "alone", "wireguard-go", {Metric.UP: 2.0, Metric.CPU: 4.0}),
    Turn(2, "alone", "udp-plain", {Metric.UP: 3.0, Metric.CPU: 2.0}),
    Turn(2, "alone", "wireguard-go", {}),
    Turn(3, "alone", "udp-plain", {Metric.UP: 1.5, Metric.CPU: 3.0}),
    Turn(1, "crowd", "raw", {Metric.UP: 9.0}),
    Turn(1, "crowd", "udp-plain", {}),
]


def test_a_row_holds_medians_over_the_rounds_and_their_ratios_to_the_yardsticks() -> None:
    row = rows_of("alone", TURNS)[0]

    assert row.contender == "udp-plain"
    assert row.rounds == 3
    assert row.medians == {Metric.UP: 1.5, Metric.CPU: 3.0}
    assert row.ratios == {Metric.UP: 0.75, Metric.CPU: 0.75}


def test_a_round_that_failed_does_not_count() -> None:
    yardstick = rows_of("alone", TURNS)[1]

    assert yardstick.rounds == 1
    assert yardstick.medians == {Metric.UP: 2.0, Metric.CPU: 4.0}


def test_without_the_yardstick_there_are_no_ratios() -> None:
    assert [row.ratios for row in rows_of("crowd", TURNS)] == [{}, {}]


def test_a_yardstick_of_zero_gives_no_ratio() -> None:
    turns = [Turn(1, "alone", "raw", {Metric.UP: 1.0}), Turn(1, "alone", "wireguard-go", {Metric.UP: 0.0})]

    assert rows_of("alone", turns)[0].ratios == {}


def test_scenarios_stand_in_the_order_of_their_first_turns() -> None:
    assert scenarios_of(TURNS) == ["alone", "crowd"]


def test_the_table_shows_ratios_in_brackets_but_not_those_of_the_yardstick_to_itself() -> None:
    assert table(rows_of("alone", TURNS)).splitlines() == [
        "|  | Gbit/s up | CPU s/GB |",
        "|---|---|---|",
        "| udp-plain | 1.50 (0.750) | 3.00 (0.750) |",
        "| wireguard-go | 2.00 | 4.00 |",
    ]


def test_a_contender_that_failed_in_every_round_keeps_its_row_and_says_so() -> None:
    assert table(rows_of("crowd", TURNS)).splitlines()[2:] == ["| raw | 9.00 |", "| udp-plain: failed | - |"]


def test_numbers_have_three_digits_that_matter() -> None:
    assert [rounded(value) for value in (0.0, 0.04567, 0.9999, 5.678, 9.999, 56.78, 99.96, 1234.5)] == [
        "0.000",
        "0.046",
        "1.00",
        "5.68",
        "10.0",
        "56.8",
        "100",
        "1234",
    ]


def test_the_document_holds_every_turn_the_medians_and_what_failed() -> None:
    failures = [Failure(2, "alone", "wireguard-go", "it burned")]

    text = json.dumps(document(TURNS, failures, {"cores": 2}))

    loaded = json.loads(text)
    assert loaded["conditions"] == {"cores": 2}
    assert loaded["medians"]["alone"]["udp-plain"] == {
        "rounds": 3,
        "medians": {"up": 1.5, "cpu": 3.0},
        "ratios to wireguard-go": {"up": 0.75, "cpu": 0.75},
    }
    assert loaded["failures"] == [
        {"round": 2, "visit": "alone", "contender": "wireguard-go", "reason": "it burned"}
    ]
    assert len(loaded["turns"]) == len(TURNS)
    assert loaded["turns"][0] == {
        "round": 1,
        "scenario": "alone",
        "contender": "udp-plain",
        "up": 1.0,
        "cpu": 6.0,
    }
