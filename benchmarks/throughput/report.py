"""From single figures to medians, ratios, a table and a document."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.throughput.visits import Figures, Metric

YARDSTICK: Final = "wireguard-go"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one round has shown about a contender in a scenario; no figures if that failed."""

    round: int
    scenario: str
    contender: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Failure:
    """A visit that ended early."""

    round: int
    visit: str
    contender: str
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over so many rounds. ``ratios`` are to those of the yardstick, empty without one."""

    contender: str
    rounds: int
    medians: Figures
    ratios: Figures


def rows_of(scenario: str, turns: Sequence[Turn]) -> list[Row]:
    """One row for each contender with a turn in the scenario, in the order of their first turns."""
    groups: dict[str, list[Figures]] = {}
    for turn in turns:
        if turn.scenario == scenario:
            group = groups.setdefault(turn.contender, [])
            if turn.figures:
                group.append(turn.figures)
    medians = {contender: _medians(group) for contender, group in groups.items()}
    yardstick = medians.get(YARDSTICK, {})
    return [
        Row(contender, len(groups[contender]), figures, _ratios(figures, yardstick))
        for contender, figures in medians.items()
    ]


def scenarios_of(turns: Iterable[Turn]) -> list[str]:
    """The scenarios that were measured, in the order of their first turns."""
    return list(dict.fromkeys(turn.scenario for turn in turns))


def table(rows: Sequence[Row]) -> str:
    """As Markdown: medians, and the ratio to the yardstick in brackets."""
    metrics = [metric for metric in Metric if any(metric in row.medians for row in rows)]
    headings = ["", *(metric.value for metric in metrics)]
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    for row in rows:
        name = row.contender if row.medians else f"{row.contender}: failed"
        cells = [name, *(_cell(row, metric) for metric in metrics)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def document(
    turns: Sequence[Turn],
    failures: Sequence[Failure],
    conditions: dict[str, object],
) -> dict[str, object]:
    """All that is known, for a JSON file."""
    return {
        "conditions": conditions,
        "medians": {
            scenario: {
                row.contender: {
                    "rounds": row.rounds,
                    "medians": _named(row.medians),
                    f"ratios to {YARDSTICK}": _named(row.ratios),
                }
                for row in rows_of(scenario, turns)
            }
            for scenario in scenarios_of(turns)
        },
        "failures": [
            {
                "round": failure.round,
                "visit": failure.visit,
                "contender": failure.contender,
                "reason": failure.reason,
            }
            for failure in failures
        ],
        "turns": [
            {
                "round": turn.round,
                "scenario": turn.scenario,
                "contender": turn.contender,
                **_named(turn.figures),
            }
            for turn in turns
        ],
    }


def _medians(group: Sequence[Figures]) -> Figures:
    medians: Figures = {}
    for metric in Metric:
        values = [figures[metric] for figures in group if metric in figures]
        if values:
            medians[metric] = statistics.median(values)
    return medians


def _ratios(figures: Figures, yardstick: Figures) -> Figures:
    return {metric: value / yardstick[metric] for metric, value in figures.items() if yardstick.get(metric)}


def _cell(row: Row, metric: Metric) -> str:
    if metric not in row.medians:
        return "-"
    shown = rounded(row.medians[metric])
    if row.contender == YARDSTICK or metric not in row.ratios:
        return shown
    return f"{shown} ({rounded(row.ratios[metric])})"


def rounded(value: float) -> str:
    """Three significant digits, never in scientific notation."""
    magnitude = abs(value)
    digits = 0 if magnitude >= 99.95 else 1 if magnitude >= 9.995 else 2 if magnitude >= 0.9995 else 3
    return f"{value:.{digits}f}"


def _named(figures: Figures) -> dict[str, float]:
    return {metric.name.lower(): round(value, 4) for metric, value in figures.items()}
