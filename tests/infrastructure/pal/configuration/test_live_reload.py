"""A server's file, the watch over it and its follower, together: what is written is in force at once."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from application.server.access import AccessControl
from application.server.follow import FollowConfiguration
from application.server.sessions import SessionRepository
from domain.addressing.peers import Peer
from domain.noise.cookie import CookieJar
from domain.noise.keys import KeyPair
from domain.noise.primitives import KEY_BYTES
from domain.noise.server import ServerHandshake
from domain.settings.defaults import default_server_settings
from domain.settings.server import ServerSettings
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.store import ServerConfigurationStore
from infrastructure.pal.configuration.watching import LONGEST_UNREST_S, WatchedFile
from infrastructure.pal.configuration.writing import server_json
from tests.adapters.log import RememberingLog
from tests.application.server.test_sessions import session
from tests.domain.settings.samples import public_key_of

PRIMITIVES = PycaPrimitives()

READ = "access list read"
NOT_USED = "the changed configuration is not used"
RESTART = "changed settings take effect when the server is restarted"

# A change is in force after some 0.1 s; the rest is for a busy machine, and a look takes 30 s.
AT_ONCE_S = 5.0


FIRST, SECOND, THIRD = (Peer(bytes([number]) * 32, number, f"client-{number}") for number in (1, 2, 3))


class Live:
    """Two clients with sessions, and the server's file with both of them in it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "server.json"
        self.log = RememberingLog()
        self.store = ServerConfigurationStore(self.file, public_key_of, self.log)
        self.running = replace(default_server_settings(), client_counter=2, peers=(FIRST, SECOND))
        self.sessions = SessionRepository()
        for number, peer in enumerate(self.running.peers, start=1):
            self.sessions.add(session(peer, number))
        keys = KeyPair.from_private(PRIMITIVES, bytes(range(32)))
        self.handshake = ServerHandshake(
            PRIMITIVES, keys, self.running.access_list(), CookieJar(bytes(KEY_BYTES))
        )
        self.write(self.running)

    def write(self, settings: ServerSettings) -> None:
        """Into the file as it is, as people do it with editors of the simpler kind."""
        self.file.write_text(server_json(settings), "utf-8")

    def write_peers(self, *peers: Peer) -> None:
        self.write(replace(self.running, peers=peers))

    def connected(self) -> list[int]:
        return sorted(known.peer.client_id for known in self.sessions)

    def admits(self, peer: Peer) -> bool:
        return self.handshake.access_list.admits(peer)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        follow = FollowConfiguration(
            running=self.running,
            configuration=self.store,
            changes=WatchedFile(self.file, self.log),
            access=AccessControl(handshake=self.handshake, sessions=[self.sessions], log=self.log),
            log=self.log,
        )
        following = asyncio.ensure_future(follow.run())
        try:
            await self.logged(READ)
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def logged(self, message: str) -> None:
        """Return when ``message`` has been logged, and forget everything that has."""
        async with asyncio.timeout(AT_ONCE_S):
            while message not in self.log.messages:
                await asyncio.sleep(0.005)
        self.log.events.clear()


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scenario())


def test_a_peer_that_is_added_disabled_enabled_renumbered_or_removed_is_so_at_once(tmp_path: Path) -> None:
    live = Live(tmp_path)

    async def scenario() -> None:
        async with live.followed():
            live.write_peers(FIRST, SECOND, THIRD)
            await live.logged(READ)
            assert live.admits(THIRD)
            assert live.connected() == [1, 2]

            live.write_peers(replace(FIRST, enabled=False), SECOND, THIRD)
            await live.logged(READ)
            assert not live.admits(FIRST)
            assert live.connected() == [2]

            live.write_peers(FIRST, SECOND, THIRD)
            await live.logged(READ)
            assert live.admits(FIRST)

            live.write_peers(FIRST, replace(SECOND, client_id=9), THIRD)
            await live.logged(READ)
            assert live.admits(replace(SECOND, client_id=9))
            assert live.connected() == []

            live.write_peers(FIRST)
            await live.logged(READ)
            assert not live.admits(THIRD)

    run(scenario)


def test_a_change_by_the_program_itself_is_in_force_at_once_and_read_once(tmp_path: Path) -> None:
    live = Live(tmp_path)

    async def scenario() -> None:
        async with live.followed():
            live.store.update(lambda settings: replace(settings, peers=settings.peers[1:]))
            await live.logged(READ)
            assert live.connected() == [2]
            await asyncio.sleep(0.3)
            assert live.log.events == []

    run(scenario)


def test_what_takes_a_restart_is_named_and_peers_of_the_same_change_are_heeded(tmp_path: Path) -> None:
    live = Live(tmp_path)

    async def scenario() -> None:
        async with live.followed():
            udp = replace(live.running.udp, port=9999)
            live.write(replace(live.running, udp=udp, peers=(FIRST,)))
            async with asyncio.timeout(AT_ONCE_S):
                while RESTART not in live.log.messages:
                    await asyncio.sleep(0.005)
            (event,) = [event for event in live.log.events if event.level == "warning"]
            assert event.fields == {"keys": "UDPSettings.Port"}
            assert live.connected() == [1]

    run(scenario)


def garbage(file: Path) -> None:
    file.write_text("{")


def emptiness(file: Path) -> None:
    file.write_text("")


def a_broken_rule(file: Path) -> None:
    file.write_text('{"EnableUDP": true, "UDPSettings": {"Port": 70000}}')


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def another_name(file: Path) -> None:
    file.rename(file.with_name("moved.json"))


@pytest.mark.parametrize("spoil", [garbage, emptiness, a_broken_rule, a_folder, another_name, Path.unlink])
def test_a_file_that_cannot_be_used_changes_nothing_is_told_once_and_a_good_one_is_heeded(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    live = Live(tmp_path)

    async def scenario() -> None:
        async with live.followed():
            spoil(live.file)
            async with asyncio.timeout(AT_ONCE_S):
                while not live.log.events:
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.5)
            (event,) = live.log.events
            assert (event.level, event.message) == ("error", NOT_USED)
            assert str(live.file) in str(event.fields["reason"])
            assert live.connected() == [1, 2]
            assert live.admits(FIRST)
            assert live.admits(SECOND)
            assert not live.file.is_file() or spoil in {garbage, emptiness, a_broken_rule}

            if live.file.is_dir():
                live.file.rmdir()
            live.log.events.clear()
            live.write_peers(SECOND)
            await live.logged(READ)
            assert live.connected() == [2]

    run(scenario)


def test_a_file_that_is_written_bit_by_bit_is_read_when_it_is_whole(tmp_path: Path) -> None:
    live = Live(tmp_path)

    async def scenario() -> None:
        async with live.followed():
            text = server_json(replace(live.running, peers=(FIRST,))).encode()
            with live.file.open("wb", buffering=0) as file:
                for start in range(0, len(text), len(text) // 10):
                    file.write(text[start : start + len(text) // 10])
                    await asyncio.sleep(LONGEST_UNREST_S / 200)
            await live.logged(READ)
            assert live.connected() == [1]
            assert [event for event in live.log.events if event.level == "error"] == []

    run(scenario)


def test_ten_thousand_peers_are_read_in_less_than_three_tenths_of_a_second_of_processor_time(
    tmp_path: Path,
) -> None:
    live = Live(tmp_path)
    peers = tuple(Peer(os.urandom(32), number, f"client-{number}") for number in range(1, 10_001))
    udp = replace(live.running.udp, ipv4_subnet=IPv4Network("10.64.0.0/16"))
    live.write(replace(live.running, udp=udp, peers=peers))
    times_s: list[float] = []
    for _ in range(3):
        started_s = time.thread_time()
        assert len(live.store.load().access_list()) == 10_000
        times_s.append(time.thread_time() - started_s)
    assert min(times_s) < 0.3


def test_when_the_name_comes_to_lead_to_another_file_that_one_is_heeded(tmp_path: Path) -> None:
    """As Kubernetes replaces what it mounts: a link in the middle of the way leads elsewhere from now on."""
    for version, peers in (("..old", (FIRST, SECOND)), ("..new", (SECOND,))):
        (tmp_path / version).mkdir()
        settings = replace(default_server_settings(), client_counter=2, peers=peers)
        (tmp_path / version / "server.json").write_text(server_json(settings), "utf-8")
    (tmp_path / "..data").symlink_to("..old")
    live = Live(tmp_path)
    live.file.unlink()
    live.file.symlink_to("..data/server.json")

    async def scenario() -> None:
        async with live.followed():
            assert live.connected() == [1, 2]
            (tmp_path / "..data_tmp").symlink_to("..new")
            (tmp_path / "..data_tmp").replace(tmp_path / "..data")
            await live.logged(READ)
            assert live.connected() == [2]

    run(scenario)
