from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.throughput.beds import StarBed
from benchmarks.throughput.contenders import Contender, Tunnel
from benchmarks.throughput.measurements import MeasurementError
from benchmarks.throughput.stages import Stage, run, stages_of
from benchmarks.throughput.visits import Effort, Figures, Metric

EFFORT = Effort(seconds=1, omitted_s=0, echoes=1, crowd=2)


class NamedContender:
    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> str:
        return ""

    def open(self, bed: StarBed, folder: Path, at_end: ExitStack) -> Tunnel:
        raise NotImplementedError


FIRST, BROKEN, LAST = (NamedContender(name) for name in ("udp-plain", "broken", "wireguard-go"))


def visit(contender: Contender) -> Iterator[tuple[str, Figures]]:
    yield "calm", {Metric.UP: 1.0}
    if contender.name == "broken":
        raise MeasurementError("it burned")
    yield "storm", {Metric.UP: 0.5}


def stage(rounds: int, name: str = "weather") -> Stage:
    return Stage(name, ("calm", "storm"), visit, (FIRST, BROKEN, LAST), rounds)


def test_contenders_take_turns_within_each_round() -> None:
    turns, _ = run([stage(rounds=2)], rounds=2)

    order = [(turn.round, turn.contender) for turn in turns if turn.scenario == "calm"]
    assert order == [(number, name) for number in (1, 2) for name in ("udp-plain", "broken", "wireguard-go")]


def test_a_contender_that_fails_keeps_what_it_has_shown_and_the_others_go_on() -> None:
    turns, failures = run([stage(rounds=1)], rounds=1)

    shown = {(turn.contender, turn.scenario): turn.figures for turn in turns}
    assert shown["broken", "calm"] == {Metric.UP: 1.0}
    assert shown["broken", "storm"] == {}
    assert shown["wireguard-go", "storm"] == {Metric.UP: 0.5}
    assert [(failure.contender, failure.visit, failure.reason) for failure in failures] == [
        ("broken", "weather", "it burned")
    ]


def test_progress_and_failures_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    run([stage(rounds=1)], rounds=1)

    said = capsys.readouterr().err
    assert "round 1, weather, udp-plain: done" in said
    assert "round 1, weather, broken: failed: it burned" in said


def test_a_defect_of_the_benchmark_itself_is_not_taken_for_a_failed_contender() -> None:
    def defective(contender: Contender) -> Iterator[tuple[str, Figures]]:
        yield contender.name, {Metric.UP: float("no number")}

    with pytest.raises(ValueError, match="no number"):
        run([Stage("weather", ("calm",), defective, (FIRST,), 1)], rounds=1)


def test_a_stage_with_fewer_rounds_rests_in_the_others() -> None:
    turns, _ = run([stage(rounds=2, name="often"), stage(rounds=1, name="once")], rounds=2)

    assert [turn.round for turn in turns].count(1) == 2 * [turn.round for turn in turns].count(2)


def test_a_quick_run_spares_the_streams_the_losses() -> None:
    contenders = [NamedContender(name) for name in ("udp-plain", "ws-plain", "wireguard-go")]

    full, quick = (stages_of(contenders, EFFORT, 3, quick=quick) for quick in (False, True))

    assert [each.name for each in full] == [each.name for each in quick] == ["alone", "loss", "crowd"]
    assert [each.name for each in full[1].contenders] == ["udp-plain", "ws-plain", "wireguard-go"]
    assert [each.name for each in quick[1].contenders] == ["udp-plain", "wireguard-go"]
    assert full[1].scenarios == ("loss 0 %", "loss 0.1 %", "loss 1 %")


def test_the_crowd_gathers_only_around_who_can_serve_one() -> None:
    contenders = [NamedContender(name) for name in ("raw", "wss-plain", "wireguard-go", "openvpn")]

    crowd = stages_of(contenders, EFFORT, 3, quick=False)[2]

    assert [each.name for each in crowd.contenders] == ["raw", "wireguard-go"]
