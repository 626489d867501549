"""When datagrams stop being sent in runs, and when they are again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.session.run_trial import REST_REPORTS, TRIAL_REPORTS, RunTrial

CLEAN = (1000, 0)
LOSSY = (900, 100)


@pytest.fixture(name="verdicts")
def no_verdicts_yet() -> list[str]:
    return []


@pytest.fixture(name="trial")
def a_new_trial(verdicts: list[str]) -> RunTrial:
    return RunTrial(lambda: verdicts.append("runs get lost"))


def sends_runs(trial: RunTrial) -> bool:
    return trial.in_runs


def report(trial: RunTrial, *counts: tuple[int, int]) -> None:
    for received, missing in counts:
        trial.report(received, missing, frames_were_runs=True)


def test_runs_that_get_lost_while_single_datagrams_do_not_are_given_up_for_good(
    trial: RunTrial, verdicts: list[str]
) -> None:
    report(trial, LOSSY, LOSSY)
    assert sends_runs(trial)
    report(trial, LOSSY)
    assert not sends_runs(trial)
    report(trial, LOSSY)  # it still counts what was sent in runs
    report(trial, *[CLEAN] * (TRIAL_REPORTS - 1))
    assert verdicts == []
    report(trial, CLEAN)
    assert verdicts == ["runs get lost"]
    report(trial, *[LOSSY] * (2 * REST_REPORTS))
    assert not sends_runs(trial)
    assert verdicts == ["runs get lost"]


def test_a_path_that_loses_either_keeps_its_runs_and_is_tried_again_much_later(
    trial: RunTrial, verdicts: list[str]
) -> None:
    report(trial, *[LOSSY] * (3 + TRIAL_REPORTS))
    assert not sends_runs(trial)
    report(trial, LOSSY)
    assert sends_runs(trial)
    for _ in range(REST_REPORTS + 2):
        report(trial, LOSSY)
        assert sends_runs(trial)
    report(trial, LOSSY)
    assert not sends_runs(trial)
    assert verdicts == []


@pytest.mark.parametrize(("left", "ended"), [(10, True), (11, False)])
def test_the_loss_has_ended_when_a_tenth_of_it_is_left(
    trial: RunTrial, verdicts: list[str], left: int, ended: bool
) -> None:
    report(trial, *[LOSSY] * 4, *[(1000 - left, left)] * TRIAL_REPORTS)

    assert (verdicts == ["runs get lost"]) is ended
    assert sends_runs(trial) is not ended


def test_reports_without_loss_in_between_do_not_end_the_suspicion(trial: RunTrial) -> None:
    report(trial, LOSSY, LOSSY, CLEAN, LOSSY)
    assert sends_runs(trial)
    report(trial, LOSSY)
    assert not sends_runs(trial)


def test_reports_without_loss_do_not_count_where_there_were_no_runs(trial: RunTrial) -> None:
    for _ in range(3):
        assert sends_runs(trial)
        report(trial, LOSSY)
        for _ in range(10):
            trial.report(*CLEAN, frames_were_runs=False)
    assert not sends_runs(trial)


def test_a_line_that_falls_quiet_proves_nothing(trial: RunTrial, verdicts: list[str]) -> None:
    report(trial, *[LOSSY] * 4, *[(1, 0)] * 100)
    assert verdicts == []
    report(trial, (2900, 0))  # with it, as much as there was before
    assert verdicts == ["runs get lost"]


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param([(951, 49)] * 100, id="bearable"),
        pytest.param([LOSSY, LOSSY, *[CLEAN] * 4] * 50, id="not for long"),
        pytest.param([(50, 5), (50, 5), (50, 5), *[CLEAN] * 6] * 50, id="by chance"),
        pytest.param([(0, 0)] * 50, id="nothing sent"),
        pytest.param([(0, 100)] * 50, id="nothing arrived"),
    ],
)
def test_other_loss_changes_nothing(trial: RunTrial, counts: list[tuple[int, int]]) -> None:
    for each in counts:
        report(trial, each)
        assert sends_runs(trial)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), max_size=40))
def test_no_reports_upset_it(counts: list[tuple[int, int]]) -> None:
    verdicts: list[bool] = []
    trial = RunTrial(lambda: verdicts.append(True))
    for each in counts:
        report(trial, each)
        assert not (verdicts and sends_runs(trial))
    assert len(verdicts) <= 1
