"""A client whose network changes under it goes on within three seconds, over datagrams and over a stream."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from dependency_injector import providers

from domain.settings.profile import TransportProtocol
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.reading import read_client
from infrastructure.pal.linux.journal import STATE_FOLDER_VARIABLE
from tests.adapters.log import RememberingLog
from tests.netns.tungo_program import eventually
from tests.netns.tunnel_bed import (
    CLIENT,
    CLIENT_AFTER_MOVE,
    CLIENT_GATEWAY,
    Folders,
    TunnelBed,
    opened_tunnel_bed,
    over,
)
from tungo.container import ClientContainer

pytestmark = pytest.mark.netns

LIMIT_S: Final = 3.0
START_S: Final = 15.0
OTHER_GATEWAY: Final = "192.0.2.254"
UDP, TCP, WS, WSS = TransportProtocol


class WatchingClient:
    """A client in the client's namespace of ``bed``, on a thread of this process; ``end`` stops it."""

    def __init__(self, bed: TunnelBed) -> None:
        self.log = RememberingLog()
        self._bed = bed
        self._stop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._running = self._pool.submit(bed.client.call_async, self._live)

    def end(self) -> None:
        """Take the tunnel down; raises what the client has raised."""
        if not self._running.done():
            loop, stop = self._stop.result(START_S)
            loop.call_soon_threadsafe(stop.set)
        self._pool.shutdown()
        self._running.result()

    @property
    def sessions(self) -> int:
        """How often it has connected."""
        return self.log.messages.count("connected")

    async def _live(self) -> None:
        file = self._bed.folders.client / "client_configuration.json"
        container = ClientContainer(settings=read_client(file, PycaPrimitives().public_key))
        with container.log.override(providers.Object(self.log)):
            tunnel = container.tunnel()
        stop = asyncio.Event()
        living = asyncio.ensure_future(tunnel.run())
        self._stop.set_result((asyncio.get_running_loop(), stop))
        waiting = asyncio.ensure_future(stop.wait())
        await asyncio.wait((living, waiting), return_when=asyncio.FIRST_COMPLETED)
        for task in (living, waiting):
            task.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await living


transport = over(UDP, TCP)


@pytest.fixture
def bed(
    transport: TransportProtocol, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TunnelBed]:
    monkeypatch.setenv(STATE_FOLDER_VARIABLE, str(tmp_path / "state"))
    with opened_tunnel_bed(transport, folders, tmp_path) as made:
        made.start_server()
        yield made


@pytest.fixture
def client(bed: TunnelBed) -> Iterator[WatchingClient]:
    made = WatchingClient(bed)
    try:
        assert eventually(lambda: bed.answers(bed.server_in_tunnel), START_S), made.log.messages
        yield made
    finally:
        made.end()


def goes_on(bed: TunnelBed) -> bool:
    """Whether the server answers through the tunnel within the limit from now."""
    ping = ("ping", "-n", "-q", "-c1", "-W0.2", bed.server_in_tunnel)

    def answers() -> bool:
        command = ["ip", "netns", "exec", bed.client.name, *ping]
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0

    return eventually(answers, LIMIT_S)


def build_wall(bed: TunnelBed) -> None:
    """From now on nothing gets from the client to the server, nor back."""
    bed.internet.run(
        "nft",
        "add table ip wall;"
        "add chain ip wall in { type filter hook forward priority 0; policy drop; };"
        "add rule ip wall in counter",
    )


def meets_wall(bed: TunnelBed) -> bool:
    """Whether anything has tried."""
    return "packets 0 " not in bed.internet.run("nft", "list", "table", "ip", "wall")


def test_another_address(bed: TunnelBed, client: WatchingClient, transport: TransportProtocol) -> None:
    bed.move_client(CLIENT, CLIENT_AFTER_MOVE)
    assert goes_on(bed), client.log.messages
    # Datagrams leave from the new address in the same session; no stream can.
    assert client.sessions == (1 if transport is UDP else 2)
    assert ("session ended, reconnecting" in client.log.messages) is (transport is TCP)


def test_another_gateway(bed: TunnelBed, client: WatchingClient) -> None:
    bed.internet.run("ip", "addr", "add", f"{OTHER_GATEWAY}/24", "dev", bed.internet_cable)
    bed.client.run("ip", "route", "replace", "default", "via", OTHER_GATEWAY)
    assert goes_on(bed), client.log.messages
    time.sleep(LIMIT_S)
    assert client.sessions == 1


def test_a_cable_that_is_out_for_a_while(bed: TunnelBed, client: WatchingClient) -> None:
    bed.client.run("ip", "link", "set", bed.client_cable, "down")
    assert eventually(lambda: "session ended, reconnecting" in client.log.messages, LIMIT_S)
    reasons = [event.fields.get("reason") for event in client.log.events]
    assert "the network has changed" in reasons
    time.sleep(3)  # the pauses between attempts have grown
    bed.client.run("ip", "link", "set", bed.client_cable, "up")
    bed.client.run("ip", "route", "add", "default", "via", CLIENT_GATEWAY)
    assert goes_on(bed), client.log.messages
    assert client.sessions == 2


def test_the_program_itself_watches(bed: TunnelBed) -> None:
    bed.bring_up()
    bed.client.run("ip", "link", "set", bed.client_cable, "down")
    bed.client_process.await_log('reason="the network has changed"', LIMIT_S)
    bed.client.run("ip", "link", "set", bed.client_cable, "up")
    bed.client.run("ip", "route", "add", "default", "via", CLIENT_GATEWAY)
    assert goes_on(bed), bed.client_process.log


def test_an_attempt_to_connect_that_is_under_way_begins_anew(bed: TunnelBed) -> None:
    build_wall(bed)
    client = WatchingClient(bed)
    try:
        assert eventually(lambda: meets_wall(bed), START_S)
        bed.internet.run("nft", "delete table ip wall")
        bed.move_client(CLIENT, CLIENT_AFTER_MOVE)
        assert goes_on(bed), client.log.messages
        assert client.log.messages == ["connected", "tunnel is up"]  # no attempt has failed
    finally:
        client.end()


def test_a_network_that_blocks_the_server(bed: TunnelBed, client: WatchingClient) -> None:
    build_wall(bed)
    bed.internet.run("ip", "addr", "add", f"{OTHER_GATEWAY}/24", "dev", bed.internet_cable)
    changed_s = time.monotonic()
    bed.client.run("ip", "route", "replace", "default", "via", OTHER_GATEWAY)
    assert eventually(lambda: "session ended, reconnecting" in client.log.messages, LIMIT_S)
    assert 2.0 < time.monotonic() - changed_s < LIMIT_S
