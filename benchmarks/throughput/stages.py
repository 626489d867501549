"""What a run consists of, and the order in which the contenders take turns."""

import functools
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.throughput.contenders import Contender
from benchmarks.throughput.measurements import MeasurementError
from benchmarks.throughput.report import Failure, Turn
from benchmarks.throughput.visits import (
    ALONE,
    CROWD,
    LOSSES_PER_THOUSAND,
    Effort,
    Figures,
    Visit,
    alone,
    crowded,
    loss_scenario,
    lossy,
)

_IN_QUICK_LOSS: Final = ("udp-plain", "udp-aggregated", "wireguard-go")
_IN_CROWD: Final = ("raw", "udp-plain", "udp-aggregated", "wireguard-go")
_FAILURES: Final = (MeasurementError, AssertionError, OSError, subprocess.SubprocessError)


@dataclass(frozen=True, slots=True)
class Stage:
    """A visit to some of the contenders, in each of the first ``rounds`` rounds.

    ``scenarios`` are what the visit yields figures of.
    """

    name: str
    scenarios: tuple[str, ...]
    visit: Visit
    contenders: tuple[Contender, ...]
    rounds: int


def stages_of(contenders: Sequence[Contender], effort: Effort, rounds: int, *, quick: bool) -> list[Stage]:
    """What a run consists of. The dearest stages have fewer rounds and contenders."""

    def among(names: Sequence[str]) -> tuple[Contender, ...]:
        return tuple(contender for contender in contenders if contender.name in names)

    everybody = tuple(contenders)
    return [
        Stage("alone", (ALONE,), functools.partial(alone, effort=effort), everybody, rounds),
        Stage(
            "loss",
            tuple(map(loss_scenario, LOSSES_PER_THOUSAND)),
            functools.partial(lossy, effort=effort),
            among(_IN_QUICK_LOSS) if quick else everybody,
            max(rounds - 1, 1),
        ),
        Stage("crowd", (CROWD,), functools.partial(crowded, effort=effort), among(_IN_CROWD), 1),
    ]


def run(stages: Sequence[Stage], rounds: int) -> tuple[list[Turn], list[Failure]]:
    """Every stage in every round; a contender that fails does not keep the others from going on."""
    turns: list[Turn] = []
    failures: list[Failure] = []
    for number in range(1, rounds + 1):
        for stage in stages:
            for contender in stage.contenders if number <= stage.rounds else ():
                started_s = time.monotonic()
                found = dict[str, Figures]()
                outcome = "done"
                try:
                    for scenario, figures in stage.visit(contender):
                        found[scenario] = figures
                except _FAILURES as exc:
                    outcome = f"failed: {exc}"
                    failures.append(Failure(number, stage.name, contender.name, f"{exc}"))
                # What has failed has a turn as well, without figures: it keeps its row in the table.
                turns += [
                    Turn(number, scenario, contender.name, found.get(scenario, {}))
                    for scenario in stage.scenarios
                ]
                took_s = time.monotonic() - started_s
                print(
                    f"round {number}, {stage.name}, {contender.name}: {outcome} ({took_s:.0f} s)",
                    file=sys.stderr,
                )
    return turns, failures
