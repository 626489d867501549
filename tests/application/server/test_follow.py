"""Revocation while the server runs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from application.runtime.configuration import ConfigurationError
from application.server.access import AccessControl
from application.server.follow import FollowConfiguration
from domain.addressing.peers import Peer
from domain.settings.defaults import default_server_settings
from domain.settings.server import ServerSettings
from tests.adapters.configuration import MemoryServerConfiguration
from tests.adapters.configuration_changes import AnnouncedChanges
from tests.application.bed import Bed, ipv4_packet

OUTSIDE = "203.0.113.5"


class Changing(MemoryServerConfiguration):
    """A configuration that the test edits, into something unreadable if it wants."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self.broken = False

    def load(self) -> ServerSettings:
        if self.broken:
            raise ConfigurationError("server.json is not JSON")
        return super().load()

    def set_port(self, port: int) -> None:
        settings = self.load()
        self._settings = replace(settings, udp=replace(settings.udp, port=port))

    def set_peers(self, peers: list[Peer]) -> None:
        self._settings = replace(default_server_settings(), peers=tuple(peers))


class Following:
    """A bed with two connected clients whose server follows its configuration."""

    def __init__(self) -> None:
        self.bed = Bed(count=2)
        for client in self.bed.clients:
            client.send(ipv4_packet(client.address, OUTSIDE))
        self.bed.settle()
        self.configuration = Changing(replace(default_server_settings(), peers=tuple(self.bed.peers)))
        server = self.bed.server
        self.access = AccessControl(handshake=server.handshake, sessions=[server.sessions], log=server.log)

    def after(self, change: Callable[[], None], message: str) -> None:
        """Change the configuration, and follow until ``message`` has been logged."""

        async def run() -> None:
            changes = AnnouncedChanges()
            follow = FollowConfiguration(
                running=default_server_settings(),
                configuration=self.configuration,
                changes=changes,
                access=self.access,
                log=self.bed.server.log,
            )
            following = asyncio.ensure_future(follow.run())
            async with asyncio.timeout(5):
                while "access list read" not in self.bed.server.log.messages:
                    await asyncio.sleep(0.001)
                self.bed.server.log.events.clear()
                change()
                changes.announce()
                while message not in self.bed.server.log.messages:
                    await asyncio.sleep(0.001)
            following.cancel()

        self.configuration.broken = False
        asyncio.run(run())

    def connected(self) -> list[int]:
        return sorted(session.peer.client_id for session in self.bed.server.sessions)


def test_a_disabled_peer_is_cut_off_at_once_and_the_other_is_not() -> None:
    following = Following()
    first, second = following.bed.peers
    following.after(
        lambda: following.configuration.set_peers([replace(first, enabled=False), second]), "session revoked"
    )
    assert following.connected() == [2]
    packet = ipv4_packet(following.bed.clients[0].address, OUTSIDE, b"too late")
    following.bed.clients[0].send(packet)
    following.bed.settle()
    assert packet not in following.bed.server.tun.written


def test_a_removed_peer_and_a_renumbered_one_are_cut_off() -> None:
    following = Following()
    _first, second = following.bed.peers
    following.after(
        lambda: following.configuration.set_peers([replace(second, client_id=7)]), "access list read"
    )
    assert following.connected() == []


def test_a_renamed_peer_stays() -> None:
    following = Following()
    first, second = following.bed.peers
    following.after(
        lambda: following.configuration.set_peers([replace(first, name="laptop"), second]), "access list read"
    )
    assert following.connected() == [1, 2]


def test_a_re_enabled_peer_gets_in_again() -> None:
    following = Following()
    first, second = following.bed.peers
    following.after(
        lambda: following.configuration.set_peers([replace(first, enabled=False), second]), "session revoked"
    )
    following.after(lambda: following.configuration.set_peers([first, second]), "access list read")
    client = following.bed.clients[0]
    following.bed.connect(client)
    client.send(ipv4_packet(client.address, OUTSIDE))
    following.bed.settle()
    assert following.connected() == [1, 2]


def test_a_broken_configuration_changes_nothing_and_is_told_once() -> None:
    following = Following()

    def damage() -> None:
        following.configuration.broken = True

    following.after(damage, "the changed configuration is not used")
    assert following.connected() == [1, 2]
    assert len(following.bed.server.log.events) == 1
    assert following.bed.server.handshake.access_list.admits(following.bed.peers[0])


def test_a_change_during_the_start_is_not_missed() -> None:
    following = Following()
    first, second = following.bed.peers
    following.configuration.set_peers([first])

    async def run() -> None:
        follow = FollowConfiguration(
            running=default_server_settings(),
            configuration=following.configuration,
            changes=AnnouncedChanges(),
            access=following.access,
            log=following.bed.server.log,
        )
        running = asyncio.ensure_future(follow.run())
        async with asyncio.timeout(5):
            while "access list read" not in following.bed.server.log.messages:
                await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(run())
    assert following.connected() == [1]
    assert not following.bed.server.handshake.access_list.admits(second)


def test_what_needs_a_restart_is_said_by_name_and_the_way_back_too() -> None:
    following = Following()
    following.after(
        lambda: following.configuration.set_port(9999),
        "changed settings take effect when the server is restarted",
    )
    (event,) = [event for event in following.bed.server.log.events if event.level == "warning"]
    assert event.fields == {"keys": "UDPSettings.Port"}
    assert following.connected() == [1, 2]
