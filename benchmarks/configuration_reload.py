"""What it costs a running server that its configuration file changes.

Run::

    python -m benchmarks.configuration_reload [--peers 10000] [--reloads 20] [--output FILE]

The file of a server with that many peers, each of whom has a session, is replaced again and again; each time
another peer is disabled and the one before enabled. What follows the file is what follows it in the program.

Timed are the way from the renaming to the new access list in force, of which the watch takes the time for
which a file has to be left alone; and the longest time that the event loop stood still meanwhile. A loop with
nothing else to do is watched by a ticker that wakes every millisecond; in one that seals and opens packets as
fast as it can it is the longest time between two packets. The rows without a reload say what the machine
itself does to them.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from application.runtime.log import LogValue
from application.server.access import AccessControl
from application.server.follow import FollowConfiguration
from benchmarks.test_repository_bench import repository_of
from domain.addressing.peers import Peer
from domain.noise.cookie import CookieJar
from domain.noise.keys import EpochKeys, KeyPair, Role, SessionId
from domain.noise.server import ServerHandshake
from domain.session.datagram import DatagramSession
from domain.settings.defaults import default_server_settings
from domain.settings.server import ServerSettings
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.store import ServerConfigurationStore
from infrastructure.pal.configuration.watching import QUIET_S, WatchedFile
from infrastructure.pal.configuration.writing import server_json
from infrastructure.tunnel.event_loop import fastest_loop_factory
from tests.adapters.log import RememberingLog

TICK_S: Final = 0.001
PACKET_BYTES: Final = 1400
BATCH: Final = 16

# Before a reload, for the loop to come to rest, and after it, for the garbage to be collected.
PAUSE_S: Final = 0.3

_PRIMITIVES: Final = PycaPrimitives()
_KEYS: Final = KeyPair.from_private(_PRIMITIVES, bytes([7]) * 32)


@dataclass(frozen=True, slots=True)
class Row:
    """Milliseconds: medians, and the worst. ``reload`` is None where nothing was reloaded."""

    loop: str
    peers: int
    rounds: int
    reload_ms: float | None
    slowest_reload_ms: float | None
    stall_ms: float
    longest_stall_ms: float


class Access(RememberingLog):
    """Tells when the access list has been read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = asyncio.Event()

    def info(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog."""
        super().info(message, **fields)
        if message == "access list read":
            self.read.set()


class Gaps:
    """The longest time between two of the things that happen all the time."""

    def __init__(self) -> None:
        self._last_s = time.perf_counter()
        self._longest_s = 0.0

    def happened(self) -> None:
        """One of them."""
        now_s = time.perf_counter()
        self._longest_s = max(self._longest_s, now_s - self._last_s)
        self._last_s = now_s

    def take(self) -> float:
        """The longest since the last call, in milliseconds."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s * 1000


@contextlib.contextmanager
def _ticking(loop: asyncio.AbstractEventLoop, gaps: Gaps) -> Iterator[None]:
    """Let ``loop`` wake every TICK_S."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            gaps.happened()

    ticking = loop.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()


@contextlib.contextmanager
def _pumping(loop: asyncio.AbstractEventLoop, gaps: Gaps) -> Iterator[None]:
    """Keep ``loop`` busy with batches of packets, sealed and sent into a socket, received and opened."""
    keys = EpochKeys(bytes(32), bytes(32))
    client, server = (DatagramSession(_PRIMITIVES, role, SessionId(bytes(32)), keys) for role in Role)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    here.settimeout(0)
    there.settimeout(0)

    def turn() -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                server.open([there.recv(2 * PACKET_BYTES)])
                gaps.happened()
        with contextlib.suppress(BlockingIOError):
            for frame in client.seal([bytes(PACKET_BYTES)] * BATCH):
                here.send(frame)

    with here, there:
        loop.add_reader(there.fileno(), turn)
        turn()
        try:
            yield
        finally:
            loop.remove_reader(there.fileno())


def _settings(peers: int, disabled: int) -> ServerSettings:
    """With every peer that ``repository_of`` makes sessions of enabled, but for number ``disabled``."""
    fresh = default_server_settings()
    return replace(
        fresh,
        udp=replace(fresh.udp, ipv4_subnet=IPv4Network("10.64.0.0/16")),
        public_key=_KEYS.public,
        private_key=_KEYS.private,
        client_counter=peers,
        peers=tuple(
            Peer(number.to_bytes(32), number, f"client-{number}", enabled=number != disabled)
            for number in range(1, peers + 1)
        ),
    )


async def _measure(loop_name: str, folder: Path, peers: int, reloads: int) -> list[Row]:
    path = folder / "server_configuration.json"
    path.write_text(server_json(_settings(peers, 0)), "utf-8")
    log, gaps = Access(), Gaps()
    store = ServerConfigurationStore(path, _PRIMITIVES.public_key, log)
    running = store.load()
    handshake = ServerHandshake(_PRIMITIVES, _KEYS, running.access_list(), CookieJar(bytes(32)))
    follow = FollowConfiguration(
        running=running,
        configuration=store,
        changes=WatchedFile(path, log),
        access=AccessControl(handshake=handshake, sessions=[repository_of(peers)], log=log),
        log=log,
    )
    gc.collect()
    gc.freeze()  # as the program does when it has started
    quiet_ms, reload_ms, stall_ms = list[float](), list[float](), list[float]()
    occupied = {"idle": _ticking, "busy": _pumping}[loop_name]
    with occupied(asyncio.get_running_loop(), gaps):
        following = asyncio.ensure_future(follow.run())
        await log.read.wait()
        for number in range(1, reloads + 1):
            successor = path.with_name("successor")
            successor.write_text(server_json(_settings(peers, number)), "utf-8")
            await asyncio.sleep(PAUSE_S)
            gaps.take()
            await asyncio.sleep(2 * PAUSE_S)
            quiet_ms.append(gaps.take())
            log.read.clear()
            started_s = time.perf_counter()
            successor.replace(path)
            await log.read.wait()
            reload_ms.append((time.perf_counter() - started_s) * 1000)
            await asyncio.sleep(PAUSE_S)
            stall_ms.append(gaps.take())
        following.cancel()
        await asyncio.wait([following])
    return [
        _row(f"{loop_name}, no reload", peers, None, quiet_ms),
        _row(f"{loop_name}, reload", peers, reload_ms, stall_ms),
    ]


def _row(loop: str, peers: int, reload_ms: Sequence[float] | None, stall_ms: Sequence[float]) -> Row:
    return Row(
        loop=loop,
        peers=peers,
        rounds=len(stall_ms),
        reload_ms=None if reload_ms is None else round(statistics.median(reload_ms), 1),
        slowest_reload_ms=None if reload_ms is None else round(max(reload_ms), 1),
        stall_ms=round(statistics.median(stall_ms), 1),
        longest_stall_ms=round(max(stall_ms), 1),
    )


def main() -> None:
    """Measure beside an idle and a busy loop, print the table and write the numbers."""
    parser = argparse.ArgumentParser(prog="configuration_reload")
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    rows: list[Row] = []
    for loop_name in ("idle", "busy"):
        with (
            tempfile.TemporaryDirectory() as folder,
            asyncio.Runner(loop_factory=fastest_loop_factory()) as runner,
        ):
            rows += runner.run(_measure(loop_name, Path(folder), arguments.peers, arguments.reloads))
    print(f"A file has to be left alone for {QUIET_S * 1000:.0f} ms.\n")
    print("| event loop | reload ms | slowest | longest stall ms | worst |\n|---|---|---|---|---|")
    for row in rows:
        reload = "- | -" if row.reload_ms is None else f"{row.reload_ms} | {row.slowest_reload_ms}"
        print(f"| {row.loop} | {reload} | {row.stall_ms} | {row.longest_stall_ms} |")
    arguments.output.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
