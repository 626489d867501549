"""What is done with a contender: one client alone, one on a cable that loses packets, many at once.

A visit sets a contender up, measures it and takes it down; it yields the figures of a scenario as soon as
they are complete.
"""

import contextlib
import fcntl
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, TypeAlias

from benchmarks.throughput.beds import StarBed, opened_star
from benchmarks.throughput.contenders import PATIENCE_S, Contender, Tunnel, await_answers
from benchmarks.throughput.measurements import (
    PORT,
    Link,
    Transfer,
    cpu_seconds_of,
    parse_transfer,
    peak_mib,
    percentile,
    receiver,
    round_trips_ms,
    round_trips_under_load_ms,
    small_packets_per_second,
    stream_arguments,
    transfer,
)
from tests.netns.tungo_program import eventually

ALONE: Final = "alone"
CROWD: Final = "crowd"
LOSSES_PER_THOUSAND: Final = (0, 1, 10)
STREAMS: Final = 8

_CROWD_TIMEOUT_S: Final = 60.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Metric(Enum):
    """A column; the value is its heading."""

    UP = "Gbit/s up"
    DOWN = "Gbit/s down"
    UP_OF_8 = "8 streams up"
    DOWN_OF_8 = "8 streams down"
    SMALL_UP = "64 B kpps up"
    SMALL_DOWN = "64 B kpps down"
    IDLE_P50 = "RTT p50 ms"
    IDLE_P99 = "p99"
    LOADED_P50 = "loaded p50 ms"
    LOADED_P99 = "loaded p99"
    CPU = "CPU s/GB"
    SLOWEST_UP = "slowest up Mbit/s"
    FASTEST_UP = "fastest up"
    SLOWEST_DOWN = "slowest down Mbit/s"
    FASTEST_DOWN = "fastest down"
    SERVER_PEAK = "server MiB"
    CLIENT_PEAK = "client MiB"


Figures: TypeAlias = dict[Metric, float]
Visit: TypeAlias = Callable[[Contender], Iterator[tuple[str, Figures]]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure. ``omitted_s`` is left out while the streams gain speed."""

    seconds: int
    omitted_s: int
    echoes: int
    crowd: int
    congestion: str = ""


def alone(contender: Contender, effort: Effort) -> Iterator[tuple[str, Figures]]:
    """Everything, with one client on a good cable."""
    with _opened(contender, 1) as (bed, tunnel):
        link = _link(bed, tunnel, 0, effort)
        figures = _streams(link, tunnel, effort)
        figures[Metric.UP_OF_8] = _transfer(link, effort, down=False, streams=STREAMS).gigabits_per_second
        figures[Metric.DOWN_OF_8] = _transfer(link, effort, down=True, streams=STREAMS).gigabits_per_second
        for metric, down in ((Metric.SMALL_UP, False), (Metric.SMALL_DOWN, True)):
            figures[metric] = small_packets_per_second(link, down=down, seconds=effort.seconds) / 1000
        idle = round_trips_ms(link, effort.echoes)
        figures[Metric.IDLE_P50], figures[Metric.IDLE_P99] = percentile(idle, 50), percentile(idle, 99)
        _measure_loaded(figures, link, effort)
        if tunnel.server_pid is not None:
            figures[Metric.SERVER_PEAK] = peak_mib(tunnel.server_pid)
            figures[Metric.CLIENT_PEAK] = peak_mib(tunnel.client_pids[0])
        yield ALONE, figures


def lossy(contender: Contender, effort: Effort) -> Iterator[tuple[str, Figures]]:
    """One client on a cable that carries no runs, which loses nothing, then more and more."""
    with _opened(contender, 1, lossy=True) as (bed, tunnel):
        link = _link(bed, tunnel, 0, effort)
        for per_thousand in LOSSES_PER_THOUSAND:
            bed.lose(per_thousand)
            figures = _streams(link, tunnel, effort)
            _measure_loaded(figures, link, effort)
            yield loss_scenario(per_thousand), figures


def crowded(contender: Contender, effort: Effort) -> Iterator[tuple[str, Figures]]:
    """Many clients that all send at once, then all receive at once."""
    with _opened(contender, effort.crowd) as (bed, tunnel):
        figures: Figures = {}
        cpu_s, size_bytes = _cpu_seconds(tunnel), 0
        for down, total, slowest, fastest in (
            (False, Metric.UP, Metric.SLOWEST_UP, Metric.FASTEST_UP),
            (True, Metric.DOWN, Metric.SLOWEST_DOWN, Metric.FASTEST_DOWN),
        ):
            transfers = _all_at_once(bed, tunnel, effort, down=down)
            rates = [each.gigabits_per_second for each in transfers]
            figures[total] = sum(rates)
            figures[slowest], figures[fastest] = min(rates) * 1000, max(rates) * 1000
            size_bytes += sum(each.size_bytes for each in transfers)
        if tunnel.server_pid is not None:
            figures[Metric.CPU] = _per_gigabyte(_cpu_seconds(tunnel) - cpu_s, size_bytes)
            figures[Metric.SERVER_PEAK] = peak_mib(tunnel.server_pid)
            figures[Metric.CLIENT_PEAK] = max(map(peak_mib, tunnel.client_pids))
        yield CROWD, figures


def loss_scenario(per_thousand: int) -> str:
    """What ``lossy`` calls it."""
    return f"loss {per_thousand / 10:g} %"


@contextlib.contextmanager
def _opened(contender: Contender, clients: int, *, lossy: bool = False) -> Iterator[tuple[StarBed, Tunnel]]:
    """A tunnel that carries packets; everything is gone on exit."""
    at_end = contextlib.ExitStack()
    try:
        folder = Path(at_end.enter_context(tempfile.TemporaryDirectory()))
        bed = at_end.enter_context(opened_star(clients, lossy=lossy))
        tunnel = contender.open(bed, folder, at_end)
        await_answers(bed, tunnel)
        yield bed, tunnel
    finally:
        with _signals_held():
            at_end.close()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C and its like take effect after the body: half of a bed would stay behind."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _streams(link: Link, tunnel: Tunnel, effort: Effort) -> Figures:
    """One stream in each direction, and what it costs."""
    cpu_s = _cpu_seconds(tunnel)
    up, down = _transfer(link, effort, down=False), _transfer(link, effort, down=True)
    figures = {Metric.UP: up.gigabits_per_second, Metric.DOWN: down.gigabits_per_second}
    if tunnel.server_pid is not None:
        figures[Metric.CPU] = _per_gigabyte(_cpu_seconds(tunnel) - cpu_s, up.size_bytes + down.size_bytes)
    return figures


def _transfer(link: Link, effort: Effort, *, down: bool, streams: int = 1) -> Transfer:
    return transfer(link, streams=streams, down=down, seconds=effort.seconds, omitted_s=effort.omitted_s)


def _measure_loaded(figures: Figures, link: Link, effort: Effort) -> None:
    loaded = round_trips_under_load_ms(link, effort.echoes)
    figures[Metric.LOADED_P50], figures[Metric.LOADED_P99] = percentile(loaded, 50), percentile(loaded, 99)


def _all_at_once(bed: StarBed, tunnel: Tunnel, effort: Effort, *, down: bool) -> list[Transfer]:
    """One stream per client."""
    with contextlib.ExitStack() as stack:
        gate = stack.enter_context(tempfile.NamedTemporaryFile())
        fcntl.flock(gate, fcntl.LOCK_EX)
        programs = []
        for number, client in enumerate(bed.clients):
            stack.enter_context(receiver(bed.server, PORT + number))
            command = stream_arguments(
                _link(bed, tunnel, number, effort),
                streams=1,
                down=down,
                seconds=effort.seconds,
                omitted_s=max(effort.omitted_s, 1),  # at first not all of them have started
                port=PORT + number,
            )
            # One that gets through before the others would have the tunnel for itself for a while.
            waiting = client.start("flock", "--shared", "--no-fork", gate.name, *command)
            program = stack.enter_context(waiting)
            stack.callback(program.kill)
            programs.append(program)
        assert eventually(lambda: _waiting_at(gate.name) == len(programs), PATIENCE_S), (
            "iperf3 does not start"
        )
        fcntl.flock(gate, fcntl.LOCK_UN)
        return [parse_transfer(program.communicate(timeout=_CROWD_TIMEOUT_S)[0]) for program in programs]


def _waiting_at(gate: str) -> int:
    """How many processes wait for the lock of this file."""
    inode = f":{Path(gate).stat().st_ino} "
    return sum("->" in line and inode in line for line in Path("/proc/locks").read_text("ascii").splitlines())


def _link(bed: StarBed, tunnel: Tunnel, number: int, effort: Effort) -> Link:
    return Link(bed.clients[number], bed.server, tunnel.addresses[number], effort.congestion)


def _cpu_seconds(tunnel: Tunnel) -> float:
    return cpu_seconds_of([] if tunnel.server_pid is None else [tunnel.server_pid, *tunnel.client_pids])


def _per_gigabyte(cpu_s: float, size_bytes: int) -> float:
    return cpu_s / (size_bytes / 1e9)
