"""The tunnel's speed over each transport, beside the bare cable, ``wireguard-go`` and OpenVPN.

Run, as root::

    python -m benchmarks.throughput [--quick] [--rounds 3] [--seconds 2] [--only NAMES] [--stages NAMES]
                                    [--congestion NAME] [--json FILE]

It makes network namespaces of its own and needs iperf3, ping and nft; what is not installed of the other VPNs
is left out. Contenders take turns within each round, so that a machine whose speed drifts favours nobody.
Prints tables in Markdown and writes all numbers as JSON.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.throughput.contenders import BareCable, Contender, own_tunnels
from benchmarks.throughput.peers import OpenVpn, WireGuardGo, version_of
from benchmarks.throughput.report import document, rows_of, scenarios_of, table
from benchmarks.throughput.stages import Stage, run, stages_of
from benchmarks.throughput.visits import Effort
from presentation.demo.errors import DemoInterruptedError
from presentation.demo.interruption import signals_interrupt, signals_wait

ROUNDS: Final = 3
FULL: Final = Effort(seconds=2, omitted_s=1, echoes=200, crowd=50)
QUICK: Final = Effort(seconds=1, omitted_s=0, echoes=100, crowd=10)
LONGEST_S: Final = 10
MOST_ROUNDS: Final = 20

_DEFAULT_FILE: Final = Path("benchmarks/throughput.json")


def chosen(only: str) -> list[Contender]:
    """The contenders with these names, separated by commas; all for an empty text. Raises SystemExit."""
    contenders: list[Contender] = [BareCable(), *own_tunnels(), WireGuardGo(), OpenVpn()]
    names = [name for name in only.split(",") if name]
    unknown = set(names) - {contender.name for contender in contenders}
    if unknown:
        raise SystemExit(f"there is no {', '.join(sorted(unknown))} among {_listed(contenders)}")
    return [contender for contender in contenders if not names or contender.name in names]


def chosen_stages(stages: Sequence[Stage], names: str) -> list[Stage]:
    """The stages with these names, as ``chosen``."""
    wanted = [name for name in names.split(",") if name]
    unknown = set(wanted) - {stage.name for stage in stages}
    if unknown:
        raise SystemExit(f"there is no {', '.join(sorted(unknown))} among {_listed(stages)}")
    return [stage for stage in stages if not wanted or stage.name in wanted]


def _listed(named: Sequence[Contender | Stage]) -> str:
    return ", ".join(each.name for each in named)


def installed(contenders: Sequence[Contender]) -> list[Contender]:
    """Those that can be measured here; says which cannot."""
    for contender in contenders:
        if contender.missing():
            print(f"{contender.name} is left out: {contender.missing()} not installed", file=sys.stderr)
    return [contender for contender in contenders if not contender.missing()]


def conditions_of(effort: Effort, rounds: int, load_before: float) -> dict[str, object]:
    """What the figures depend on."""
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text("ascii").strip()
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine's congestion control": congestion,
        "load before": load_before,
        "rounds": rounds,
        "effort": asdict(effort),
        "versions": {program: version_of(program) for program in ("iperf3", "wireguard-go", "openvpn")},
    }


def parsed_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="throughput", description="Throughput beside other VPNs.")
    parser.add_argument("--quick", action="store_true", help="one short round; the figures are rough")
    parser.add_argument(
        "--rounds", type=int, choices=range(1, MOST_ROUNDS + 1), help=f"default {ROUNDS}, 1 with --quick"
    )
    parser.add_argument("--seconds", type=int, choices=range(1, LONGEST_S + 1), help="of each transfer")
    parser.add_argument("--only", default="", help="names of contenders, separated by commas")
    parser.add_argument("--stages", default="", help="names of stages, as well: alone,loss,crowd")
    parser.add_argument("--congestion", default="", help="congestion control of the streams in the tunnel")
    parser.add_argument(
        "--json", type=Path, help=f"where to write; default {_DEFAULT_FILE} unless only a part is measured"
    )
    return parser.parse_args()


def main() -> None:
    """Measure, print, store."""
    options = parsed_arguments()
    if os.geteuid() != 0:
        raise SystemExit("it makes network namespaces, so it needs root")
    base = QUICK if options.quick else FULL
    effort = Effort(
        options.seconds or base.seconds, base.omitted_s, base.echoes, base.crowd, options.congestion
    )
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    contenders = installed(chosen(options.only))
    stages = chosen_stages(stages_of(contenders, effort, rounds, quick=options.quick), options.stages)
    load_before = os.getloadavg()[0]  # more than a few tenths, and something else is being measured, too
    with signals_wait(), signals_interrupt():
        turns, failures = run(stages, rounds)
    for scenario in scenarios_of(turns):
        print(f"\n{scenario}\n\n{table(rows_of(scenario, turns))}")
    for failure in failures:
        print(f"\nround {failure.round}, {failure.visit}: {failure.contender} failed: {failure.reason}")
    whole = not options.quick and not options.only and not options.stages
    file = options.json or (_DEFAULT_FILE if whole else None)
    if file is not None:
        conditions = conditions_of(effort, rounds, load_before)
        file.write_text(json.dumps(document(turns, failures, conditions), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    try:
        main()
    except DemoInterruptedError as interrupted:
        raise SystemExit(f"{interrupted}") from interrupted
