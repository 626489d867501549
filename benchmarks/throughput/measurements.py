"""The instruments: iperf3 and ping inside of namespaces, and what /proc tells about the ends of a tunnel.

"Up" is from the client to the server, "down" the other way. Each run of iperf3 has a receiver of its own.
"""

import contextlib
import json
import math
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from benchmarks.handshake_flood import cpu_seconds
from presentation.demo.measure import parse_echo_times_ms
from tests.netns.bed import Namespace

PORT: Final = 5201
SMALL_PAYLOAD_BYTES: Final = 64
ECHO_INTERVAL_S: Final = 0.005

# What the load needs before it saturates the tunnel, and what ping needs to start and end.
_LOAD_LEAD_S: Final = 0.5
_LOAD_MARGIN_S: Final = 0.5
# Under load answers may take long; ping waits this long for the last of them.
_LAST_ECHO_S: Final = 2
_TIMEOUT_S: Final = 20.0

_Report: TypeAlias = dict[str, object]


class MeasurementError(Exception):
    """An instrument has failed, or says something that is no measurement."""


@dataclass(frozen=True, slots=True)
class Link:
    """Between whom packets are sent: ``address`` is the server's, as its client sees it.

    ``congestion`` is the congestion control of the streams, empty for the machine's own.
    """

    client: Namespace
    server: Namespace
    address: str
    congestion: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A run over TCP. ``size_bytes`` also counts what was sent at first, which the rate leaves out."""

    gigabits_per_second: float
    size_bytes: int


def stream_arguments(
    link: Link, *, streams: int, down: bool, seconds: int, omitted_s: int, port: int = PORT
) -> list[str]:
    """The command that ``parse_transfer`` understands."""
    return [
        *("iperf3", "-J", "-c", link.address, "-p", str(port), "-P", str(streams)),
        *("-t", str(seconds), "-O", str(omitted_s)),
        *(["-C", link.congestion] if link.congestion else []),
        *(["-R"] if down else []),
    ]


def transfer(link: Link, *, streams: int, down: bool, seconds: int, omitted_s: int) -> Transfer:
    """As many TCP streams at once, all as fast as they can. Raises MeasurementError, AssertionError."""
    command = stream_arguments(link, streams=streams, down=down, seconds=seconds, omitted_s=omitted_s)
    with receiver(link.server):
        return parse_transfer(link.client.run(*command))


def small_packets_per_second(link: Link, *, down: bool, seconds: int) -> float:
    """UDP datagrams of 64 bytes that arrive when more are sent than can. Raises as ``transfer``."""
    command = ["iperf3", "-J", "-c", link.address, "-p", str(PORT), "-u", "-b", "0"]
    command += ["-l", str(SMALL_PAYLOAD_BYTES), "-t", str(seconds), *(["-R"] if down else [])]
    with receiver(link.server):
        return parse_small_packets(link.client.run(*command))


def round_trips_ms(link: Link, count: int) -> list[float]:
    """The times of the answers to ``count`` echo requests, 200 a second; lost ones are not among them."""
    interval = str(ECHO_INTERVAL_S)
    deadline_s = math.ceil(count * ECHO_INTERVAL_S) + _LAST_ECHO_S
    echo = f"ping -n -i {interval} -c {count} -w {deadline_s} -W {_LAST_ECHO_S} {link.address} || true"
    times = parse_echo_times_ms(link.client.run("sh", "-c", echo))
    if not times:
        raise MeasurementError("no answer to any echo request")
    return times


def round_trips_under_load_ms(link: Link, count: int) -> list[float]:
    """As ``round_trips_ms``, while one stream fills the tunnel from the client to the server."""
    seconds = math.ceil(_LOAD_LEAD_S + count * ECHO_INTERVAL_S + _LOAD_MARGIN_S)
    command = stream_arguments(link, streams=1, down=False, seconds=seconds, omitted_s=0)
    with receiver(link.server), link.client.start(*command) as load:
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                load.wait(_LOAD_LEAD_S)
            times = round_trips_ms(link, count)
            report, _ = load.communicate(timeout=_TIMEOUT_S)
        finally:
            load.kill()
    parse_transfer(report)  # without load it would not be one under load
    return times


@contextlib.contextmanager
def receiver(server: Namespace, port: int = PORT) -> Iterator[None]:
    """The other end of one iperf3 run; it listens from the beginning of the body."""
    with server.start("iperf3", "-s", "-1", "--forceflush", "-p", str(port)) as process:
        try:
            assert process.stdout is not None
            if not any("listening" in line for line in process.stdout):
                raise MeasurementError(f"iperf3 does not listen on port {port}")
            yield
        finally:
            process.kill()


def cpu_seconds_of(pids: Sequence[int]) -> float:
    """The processor time that these processes have taken so far."""
    return sum(cpu_seconds(pid) for pid in pids)


def peak_mib(pid: int) -> float:
    """The most physical memory that a process has ever used (VmHWM)."""
    return parse_peak_mib(Path(f"/proc/{pid}/status").read_text("ascii"))


def parse_peak_mib(status: str) -> float:
    """VmHWM in /proc/PID/status. Raises MeasurementError."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) / 1024
    raise MeasurementError("the process has ended")


def parse_transfer(report: str) -> Transfer:
    """What ``iperf3 -J`` says about a run over TCP. Raises MeasurementError."""
    document = _parse(report)
    intervals = document.get("intervals")
    if not isinstance(intervals, list):
        raise MeasurementError("iperf3 reports no intervals")
    size = sum(_number(interval, "sum", "bytes") for interval in intervals)
    return Transfer(_number(document, "end", "sum_received", "bits_per_second") / 1e9, int(size))


def parse_small_packets(report: str) -> float:
    """Received datagrams a second, from what ``iperf3 -J -u -l 64`` says. Raises MeasurementError."""
    bits = _number(_parse(report), "end", "sum_received", "bits_per_second")
    return bits / 8 / SMALL_PAYLOAD_BYTES


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that so many of a hundred are not above (nearest rank)."""
    rank = max(math.ceil(len(samples) * percent / 100), 1)
    return sorted(samples)[rank - 1]


def _parse(report: str) -> _Report:
    try:
        document: object = json.loads(report)
    except ValueError as error:
        raise MeasurementError(f"iperf3 reports no JSON: {report[:200]}") from error
    if not isinstance(document, dict):
        raise MeasurementError("iperf3 reports no JSON object")
    if "error" in document:
        raise MeasurementError(f"iperf3: {document['error']}")
    return document


def _number(document: object, *path: str) -> float:
    found = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, int | float):
        raise MeasurementError(f"iperf3 reports no {'.'.join(path)}")
    return found
