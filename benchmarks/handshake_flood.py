"""What a flood of handshakes does to a server that has a tunnel to carry.

Run, as root::

    python -m benchmarks.handshake_flood [--rounds 3] [--output FILE]

It makes network namespaces of its own: a client and a server with a TCP stream between them, a second client
that wants in, and the Internet, from which strangers flood the server's port. Prints a table and writes all
numbers as JSON.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.flood_generator import Flood
from benchmarks.joining import Join, join
from domain.settings.profile import TransportProtocol
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.reading import read_client
from tests.netns.bed import Namespace, NetnsBed
from tests.netns.tunnel_bed import MIB, SERVER, TunnelBed, make_folders

PORT: Final = 9090
CLOSED_PORT: Final = 9999
STREAM_S: Final = 4
# The flood begins before the stream and ends after it.
LEAD_S: Final = 1.2
FLOOD_S: Final = STREAM_S + 2 * LEAD_S
HANDSHAKES_PER_S: Final = 10_000
LINE_RATE_PER_S: Final = 1_000_000  # more than one process can send
JOINS: Final = 3
PAUSE_S: Final = 2.0  # until the server takes the load for past

_START_S: Final = 10.0
_PRIMITIVES: Final = PycaPrimitives()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A flood, or none, and what is measured meanwhile."""

    name: str
    kind: str = ""
    per_second: int = 0
    port: int = PORT
    joins: int = 0


SCENARIOS: Final = (
    Scenario("no flood", joins=JOINS),
    Scenario("handshakes to a closed port", "handshakes", HANDSHAKES_PER_S, CLOSED_PORT),
    Scenario("handshakes", "handshakes", HANDSHAKES_PER_S, joins=JOINS),
    Scenario("as much garbage", "garbage", HANDSHAKES_PER_S, joins=JOINS),
    Scenario("garbage at line rate to a closed port", "garbage", LINE_RATE_PER_S, CLOSED_PORT),
    Scenario("garbage at line rate", "garbage", LINE_RATE_PER_S, joins=JOINS),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scenario in one round."""

    scenario: str
    megabits_per_second: float
    server_cpu: float  # share of one core
    server_growth_mib: float
    flood: Flood | None
    joins: list[Join]


class Arena:
    """A tunnel that works, the namespace of a second client, and a cable to flood."""

    def __init__(self, bed: NetnsBed, folder: Path, at_end: contextlib.ExitStack) -> None:
        folders = make_folders(TransportProtocol.UDP, folder)
        self.tunnel = TunnelBed(TransportProtocol.UDP, bed, folders, folder)
        at_end.callback(self.tunnel.end)
        self.other = bed.namespace("other")
        bed.join(self.other, ["192.0.2.130/25"], self.tunnel.internet, ["192.0.2.129/25"])
        self.other.run("ip", "route", "add", "default", "via", "192.0.2.129")
        self.tunnel.internet.run("ip", "route", "add", "blackhole", "10.128.0.0/9")
        self.tunnel.bring_up()
        self._server_pid = pid_inside(self.tunnel.server, b"tungo\0server")
        self.settings = read_client(folders.other / "client_configuration.json", _PRIMITIVES.public_key)
        links: list[dict[str, str]] = json.loads(self.tunnel.server.run("ip", "-j", "link"))
        [self._server_mac] = [link["address"] for link in links if link["ifname"].startswith("veth")]

    def measure(self, scenario: Scenario) -> Outcome:
        """Flood, stream and join at the same time."""
        server = self.tunnel.server_process
        with self._flooding(scenario) as floods:
            time.sleep(LEAD_S)
            resident, cpu_s = server.resident_bytes(), cpu_seconds(self._server_pid)
            started_s = time.monotonic()
            with self.tunnel.client.start(
                "iperf3", "-J", "-c", self.tunnel.server_in_tunnel, "-t", str(STREAM_S)
            ) as stream:
                time.sleep(0.5)
                joins = [join(self.other, self.settings, (SERVER, PORT)) for _ in range(scenario.joins)]
                report, _ = stream.communicate(timeout=STREAM_S + 20)
            share = (cpu_seconds(self._server_pid) - cpu_s) / (time.monotonic() - started_s)
        growth = (server.resident_bytes() - resident) / MIB
        return Outcome(scenario.name, megabits(report), share, growth, floods[0] if floods else None, joins)

    @contextlib.contextmanager
    def _flooding(self, scenario: Scenario) -> Iterator[list[Flood]]:
        """The flood runs inside; its account is in the list afterwards."""
        floods: list[Flood] = []
        if not scenario.kind:
            yield floods
            return
        cable = self.tunnel.server_side_cable
        public = self.settings.server_public_key.hex()
        numbers = map(str, (scenario.port, scenario.per_second, FLOOD_S))
        arguments = [scenario.kind, cable, self._server_mac, SERVER, *numbers, public]
        module = (sys.executable, "-m", "benchmarks.flood_generator")
        with self.tunnel.internet.start(*module, *arguments) as generator:
            # It prepares its frames first; the stream must not begin before the first one is sent.
            await_traffic(self.tunnel.internet, cable)
            yield floods
            printed, _ = generator.communicate(timeout=FLOOD_S + 20)
        floods.append(Flood(**json.loads(printed)))


def await_traffic(namespace: Namespace, interface: str) -> None:
    """Return when more than a hundred frames have been sent there since the call."""

    def sent() -> int:
        [link] = json.loads(namespace.run("ip", "-j", "-s", "link", "show", interface))
        count: int = link["stats64"]["tx"]["packets"]
        return count

    before, deadline_s = sent(), time.monotonic() + _START_S
    while sent() - before < 100:
        if time.monotonic() > deadline_s:
            raise RuntimeError("the flood does not begin")
        time.sleep(0.05)


def megabits(iperf_report: str) -> float:
    """What arrived, in Mbit/s."""
    document: dict[str, dict[str, dict[str, float]]] = json.loads(iperf_report)
    if "sum_received" not in document["end"]:
        raise RuntimeError(f"iperf3 failed: {iperf_report}")
    return document["end"]["sum_received"]["bits_per_second"] / 1e6


def pid_inside(namespace: Namespace, words: bytes) -> int:
    """The process in ``namespace`` whose command line holds ``words``."""
    pids = namespace.run("ip", "netns", "pids", namespace.name).split()
    [found] = [pid for pid in pids if is_command(Path("/proc") / pid / "cmdline", words)]
    return int(found)


def is_command(command_line: Path, words: bytes) -> bool:
    """Whether ``words`` are in it; not if the process has ended."""
    try:
        return words in command_line.read_bytes()
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    """The processor time that this process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(rounds: int) -> list[Outcome]:
    """Every scenario once per round, in turn, after one round that only warms up."""
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        NetnsBed() as bed,
        contextlib.ExitStack() as stack,
    ):
        arena = Arena(bed, Path(folder), stack)
        receiver = stack.enter_context(arena.tunnel.server.start("iperf3", "-s", "--forceflush"))
        stack.callback(receiver.kill)
        for number in range(rounds + 1):
            for scenario in SCENARIOS:
                outcome = arena.measure(scenario)
                time.sleep(PAUSE_S)
                if number > 0:
                    outcomes.append(outcome)
                    print(f"round {number}: {outcome}", file=sys.stderr)
        resident_mib = arena.tunnel.server_process.resident_bytes() / MIB
        print(f"the server uses {resident_mib:.1f} MiB at the end", file=sys.stderr)
    return outcomes


def summary(outcomes: list[Outcome]) -> list[dict[str, object]]:
    """The median of every number, per scenario; the slowest of all joins."""
    by_name = {scenario.name: [o for o in outcomes if o.scenario == scenario.name] for scenario in SCENARIOS}
    # Each round has its own yardstick, so that a machine whose speed drifts does not spoil the ratio.
    yardsticks = [o.megabits_per_second for o in by_name[SCENARIOS[0].name]]
    rows: list[dict[str, object]] = []
    for name, group in by_name.items():
        rate = statistics.median(o.megabits_per_second for o in group)
        ratios = [o.megabits_per_second / yard for o, yard in zip(group, yardsticks, strict=True)]
        floods = [o.flood for o in group if o.flood is not None]
        joins = [attempt for o in group for attempt in o.joins]
        entered = [attempt.seconds for attempt in joins if attempt.seconds is not None]
        rows.append(
            {
                "scenario": name,
                "Mbit/s": round(rate, 1),
                "ratio": round(statistics.median(ratios), 2),
                "server CPU": round(statistics.median(o.server_cpu for o in group), 2),
                "growth MiB": round(max(o.server_growth_mib for o in group), 2),
                "flood/s": round(statistics.median(f.datagrams / f.seconds for f in floods)) if floods else 0,
                "flood CPU": round(statistics.median(f.cpu_seconds / f.seconds for f in floods), 2)
                if floods
                else 0.0,
                "joined": f"{len(entered)}/{len(joins)}",
                "join s": round(statistics.median(entered), 3) if entered else None,
                "slowest s": round(max(entered), 3) if entered else None,
                "with cookie": sum(attempt.had_cookie for attempt in joins),
            }
        )
    return rows


def print_table(rows: list[dict[str, object]]) -> None:
    """As Markdown."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join("-" if value is None else str(value) for value in row.values()) + " |")


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="What a flood of handshakes does to a tunnel.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/handshake_flood.json"))
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("it makes network namespaces, so it needs root")
    load = os.getloadavg()[0]  # more than a few tenths, and something else is being measured, too
    outcomes = run(options.rounds)
    rows = summary(outcomes)
    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load before": load,
    }
    document = {"machine": machine, "medians": rows, "rounds": [asdict(outcome) for outcome in outcomes]}
    options.output.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print_table(rows)


if __name__ == "__main__":
    try:
        main()
    except subprocess.TimeoutExpired as expired:
        raise SystemExit(f"{expired.cmd} does not end") from expired
