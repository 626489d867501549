"""Closed, and yet the last word arrives."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from infrastructure.network.stream import lingering as module
from infrastructure.network.stream.lingering import LingeringSockets
from infrastructure.network.stream.sockets import abort_on_close
from infrastructure.network.stream.watch import Watch
from tests.infrastructure.network.stream.records import connected_sockets


class World:
    """Lingering sockets, and the connections to give to them."""

    def __init__(self, opened: ExitStack) -> None:
        self.watch: Watch[socket.socket] = Watch()
        opened.callback(self.watch.close)
        self._connections = opened.enter_context(ExitStack())
        self.lingering = LingeringSockets(self.watch)
        opened.callback(self.lingering.close)

    def connection(self) -> tuple[socket.socket, socket.socket]:
        return self._connections.enter_context(connected_sockets())

    def work(self, within_s: float = 2.0) -> None:
        """Do what there is to do now; within the time, if there is nothing yet."""
        select.select([self.watch.fileno()], [], [], within_s)
        for ready in self.watch.ready(64):
            self.lingering.discard_from(ready.owner)


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as opened:
        yield World(opened)


def test_the_last_word_arrives_although_the_peer_has_not_stopped_talking(world: World) -> None:
    near, far = world.connection()
    far.send(b"talking")
    near.send(b"the last word")
    world.lingering.add(near)
    far.send(b" on and on")
    world.work()
    assert far.recv(64) == b"the last word"
    assert far.recv(64) == b""
    assert near.fileno() >= 0


def test_a_peer_that_closes_ends_it(world: World) -> None:
    near, far = world.connection()
    world.lingering.add(near)
    far.close()
    world.work()
    assert near.fileno() == -1
    assert world.lingering.next_deadline_s is None


def test_a_peer_that_resets_ends_it(world: World) -> None:
    near, far = world.connection()
    world.lingering.add(near)
    abort_on_close(far)
    far.close()
    world.work()
    assert near.fileno() == -1


def test_only_so_much_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_BYTES", 10)
    near, far = world.connection()
    world.lingering.add(near)
    far.send(b"123456")
    world.work()
    assert near.fileno() >= 0
    far.send(b"7890 and more")
    world.work()
    assert near.fileno() == -1


def test_it_lasts_only_so_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.02)
    first, _ = world.connection()
    world.lingering.add(first)
    monkeypatch.setattr(module, "LINGER_S", 60.0)
    second, _ = world.connection()
    world.lingering.add(second)
    deadline_s = world.lingering.next_deadline_s
    assert deadline_s is not None
    world.lingering.expire()
    assert first.fileno() >= 0
    time.sleep(max(0.0, deadline_s - time.monotonic()))
    world.lingering.expire()
    assert (first.fileno(), second.fileno() >= 0) == (-1, True)
    assert world.lingering.next_deadline_s == pytest.approx(time.monotonic() + 60, abs=5)


def test_a_newcomer_to_a_full_house_takes_the_place_of_the_oldest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_LINGERING", 2)
    sockets = [world.connection()[0] for _ in range(3)]
    for near in sockets:
        world.lingering.add(near)
    assert [near.fileno() >= 0 for near in sockets] == [False, True, True]


def test_a_connection_that_is_gone_already_does_not_linger(world: World) -> None:
    near, far = world.connection()
    abort_on_close(far)
    far.close()
    select.select([near], [], [], 2)
    world.lingering.add(near)
    assert near.fileno() == -1
    assert world.lingering.next_deadline_s is None


def test_closing_closes_all(world: World) -> None:
    sockets = [world.connection()[0] for _ in range(2)]
    for near in sockets:
        world.lingering.add(near)
    world.lingering.close()
    assert [near.fileno() for near in sockets] == [-1, -1]
    assert world.watch.ready(10) == []
