"""How long a client takes to start and to stop, and how long of it sets up the network of the host.

Run, as root::

    python -m benchmarks.start_stop [--rounds 10] [--output FILE]

Client, Internet and server are network namespaces of their own (``tests.netns.tunnel_bed``). A program on
the client's host sends to the server's address in the tunnel without a pause, and the start is over when the
first of its packets arrives there. Each start is measured twice: of the real program, and of the same client
inside of this process, where Python and all modules are loaded already. Prints a table and writes the numbers
as JSON.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from dependency_injector import providers

from application.runtime.log import LogValue
from domain.settings.profile import TransportProtocol
from domain.settings.rules import settings_path
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.reading import read_client
from infrastructure.pal.linux.journal import STATE_FOLDER_VARIABLE
from infrastructure.tunnel.event_loop import fastest_loop_factory
from tests.adapters.log import RememberingLog
from tests.netns.test_start_stop import NAME, Names, asks_resolver
from tests.netns.tungo_program import Tungo, eventually, program_environment
from tests.netns.tunnel_bed import TunnelBed, edit_json, make_folders, opened_tunnel_bed
from tungo.container import ClientContainer

TRANSPORTS: Final = (TransportProtocol.UDP, TransportProtocol.TCP)
PORT: Final = 4711
BETWEEN_PACKETS_S: Final = 0.0005
PATIENCE_S: Final = 30.0
START_TARGET_MS: Final = 150.0
SET_UP_TARGET_MS: Final = 60.0
STOP_TARGET_MS: Final = 500.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One duration over all rounds; ``target_ms`` is None for what is only of interest."""

    transport: str
    what: str
    median_ms: float
    slowest_ms: float
    target_ms: float | None = None

    @classmethod
    def of(
        cls, transport: str, what: str, durations_s: Sequence[float], target_ms: float | None = None
    ) -> "Figure":
        """The figure of these measurements."""
        median_ms, slowest_ms = 1000 * statistics.median(durations_s), 1000 * max(durations_s)
        return cls(transport, what, round(median_ms, 1), round(slowest_ms, 1), target_ms)


class TimingLog(RememberingLog):
    """Remembers when each record was written, too, by its message; the last time counts."""

    def __init__(self) -> None:
        super().__init__()
        self.written_at_s: dict[str, float] = {}

    def info(self, message: str, /, **fields: LogValue) -> None:
        self.written_at_s[message] = time.monotonic()
        super().info(message, **fields)


class Talk:
    """Datagrams from the client's host to the server's address in the tunnel, from entry to exit."""

    def __init__(self, bed: TunnelBed, on_arrival: Callable[[], object]) -> None:
        self.arrived_at_s = 0.0
        self.arrived = threading.Event()
        self._endpoint = (bed.server_in_tunnel, PORT)
        self._on_arrival = on_arrival
        datagrams = partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self._here, self._there = bed.client.call(datagrams), bed.server.call(datagrams)
        self._here.settimeout(0)
        self._there.settimeout(0.1)
        self._there.bind(("0.0.0.0", PORT))
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._speak, self._listen)]

    def __enter__(self) -> "Talk":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._here.close()
        self._there.close()

    def _speak(self) -> None:
        while not self._stopping.wait(BETWEEN_PACKETS_S) and not self.arrived.is_set():
            with contextlib.suppress(OSError):
                self._here.sendto(b"is anybody there?", self._endpoint)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                self._there.recv(100)
                self.arrived_at_s = time.monotonic()
                self.arrived.set()
                self._on_arrival()
                return


@dataclass(frozen=True, slots=True)
class Life:
    """Durations in seconds of one client inside of this process."""

    to_first_packet: float
    set_up: float
    stop: float


async def live(bed: TunnelBed) -> Life:
    """Start a client, stop it when the first packet has arrived."""
    log, arrived = TimingLog(), asyncio.Event()
    loop = asyncio.get_running_loop()
    file = bed.folders.client / "client_configuration.json"
    container = ClientContainer(settings=read_client(file, PycaPrimitives().public_key))
    with (
        container.log.override(providers.Object(log)),
        Talk(bed, lambda: loop.call_soon_threadsafe(arrived.set)) as talk,
    ):
        started_s = time.monotonic()
        client = asyncio.ensure_future(container.tunnel().run())
        async with asyncio.timeout(PATIENCE_S):
            await arrived.wait()
        stopped_s = time.monotonic()
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
        stop = time.monotonic() - stopped_s
    return Life(
        to_first_packet=talk.arrived_at_s - started_s,
        set_up=log.written_at_s["tunnel is up"] - log.written_at_s["connected"],
        stop=stop,
    )


def live_in_namespace(bed: TunnelBed) -> Life:
    """``live`` on the client's host, on the event loop that the program uses."""

    def on_own_loop() -> Life:
        with asyncio.Runner(loop_factory=fastest_loop_factory()) as runner:
            return runner.run(live(bed))

    return bed.client.call(on_own_loop)


def run_program(bed: TunnelBed, log_file: Path) -> tuple[float, float]:
    """Seconds from the start of the program to the first packet, and from SIGTERM to its end."""
    with Talk(bed, lambda: None) as talk:
        started_s = time.monotonic()
        client = Tungo(bed.client, "client", bed.folders.client, log_file)
        try:
            if not talk.arrived.wait(PATIENCE_S):
                raise RuntimeError(f"nothing came through the tunnel:\n{client.log}")
            _, stop_s = client.stop()
        finally:
            client.kill()
    return talk.arrived_at_s - started_s, stop_s


def stop_program_in_the_dark(bed: TunnelBed, names: Names, log_file: Path) -> float:
    """Seconds from SIGTERM to the end while the client waits for a dead resolver and the server is dead."""
    server = bed.start_server()
    names.know()
    client = Tungo(bed.client, "client", bed.folders.client, log_file, names.below)
    try:
        client.await_log('msg="tunnel is up"')
        names.forget()
        server.kill()
        if not eventually(lambda: asks_resolver(bed), PATIENCE_S):
            raise RuntimeError(f"the client does not look its server up again:\n{client.log}")
        return client.stop()[1]
    finally:
        client.kill()
        server.kill()


def import_seconds() -> float:
    """Seconds that Python takes to start and load the program, less what it takes to start."""
    durations = []
    for code in ("pass", "import presentation.cli.app, tungo.commands"):
        started_s = time.monotonic()
        subprocess.run([sys.executable, "-c", code], check=True, env=program_environment(), timeout=60)
        durations.append(time.monotonic() - started_s)
    return durations[1] - durations[0]


def measure(transport: TransportProtocol, rounds: int, folder: Path) -> Iterator[Figure]:
    """All figures of one transport."""
    name = transport.value
    folders = make_folders(transport, folder)
    with opened_tunnel_bed(transport, folders, folder) as bed:
        bed.start_server()
        live_in_namespace(bed)  # loads what is loaded at the first use
        lives = [live_in_namespace(bed) for _ in range(rounds)]
        runs = [run_program(bed, folder / f"client-{number}.log") for number in range(rounds)]
    yield Figure.of(
        name, "start to first packet, all loaded", [life.to_first_packet for life in lives], START_TARGET_MS
    )
    yield Figure.of(
        name, "of it from handshake to device up", [life.set_up for life in lives], SET_UP_TARGET_MS
    )
    yield Figure.of(name, "stop, in this process", [life.stop for life in lives], STOP_TARGET_MS)
    yield Figure.of(name, "program start to first packet", [start_s for start_s, _ in runs])
    yield Figure.of(name, "program stop", [stop_s for _, stop_s in runs], STOP_TARGET_MS)


def measure_in_the_dark(transport: TransportProtocol, rounds: int, folder: Path) -> Figure:
    """How long stopping takes when neither the server nor the resolver lives."""
    folders = make_folders(transport, folder)

    def name_server(document: dict[str, dict[str, object]]) -> None:
        document[settings_path(transport)]["Server"] = {"Domain": NAME}

    edit_json(folders.client / "client_configuration.json", name_server)
    with opened_tunnel_bed(transport, folders, folder) as bed:
        names = Names(folder)
        stops = [
            stop_program_in_the_dark(bed, names, folder / f"dark-{number}.log") for number in range(rounds)
        ]
    return Figure.of(transport.value, "program stop, server and DNS dead", stops, STOP_TARGET_MS)


def main() -> None:
    """Measure, print the table and write the numbers."""
    parser = argparse.ArgumentParser(prog="start_stop")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ[STATE_FOLDER_VARIABLE] = str(folder / "state")
        # As installed: with the byte code of all modules at hand.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        import_seconds()
        figures = [Figure.of("", "loading the modules", [import_seconds() for _ in range(arguments.rounds)])]
        for transport in TRANSPORTS:
            for part in ("alive", "dark"):
                (folder / f"{transport.value}-{part}").mkdir()
            figures += measure(transport, arguments.rounds, folder / f"{transport.value}-alive")
            dark = folder / f"{transport.value}-dark"
            figures.append(measure_in_the_dark(transport, max(3, arguments.rounds // 3), dark))
    print("| transport | what | median | slowest | target |\n|---|---|---|---|---|")
    for figure in figures:
        target = "" if figure.target_ms is None else f"{figure.target_ms:.0f} ms"
        print(
            f"| {figure.transport} | {figure.what} | {figure.median_ms:.0f} ms | {figure.slowest_ms:.0f} ms "
            f"| {target} |"
        )
    arguments.output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
