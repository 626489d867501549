"""One descriptor for many."""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from infrastructure.network.stream.watch import Ready, Watch


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def watch(opened: ExitStack) -> Watch[str]:
    made: Watch[str] = Watch()
    opened.callback(made.close)
    return made


def pair(opened: ExitStack, watch: Watch[str], name: str) -> tuple[socket.socket, socket.socket]:
    """A watched socket and its other end."""
    near, far = socket.socketpair()
    opened.enter_context(near)
    opened.enter_context(far)
    watch.add(near.fileno(), name)
    return near, far


def is_readable(watch: Watch[str]) -> bool:
    return bool(select.select([watch.fileno()], [], [], 0)[0])


def names(watch: Watch[str], limit: int = 10) -> list[str]:
    return [ready.owner for ready in watch.ready(limit)]


def test_it_is_readable_while_one_of_its_descriptors_is(opened: ExitStack, watch: Watch[str]) -> None:
    near, far = pair(opened, watch, "a")
    pair(opened, watch, "b")
    assert not is_readable(watch)
    assert watch.ready(10) == []
    far.send(b"x")
    assert is_readable(watch)
    assert watch.ready(10) == [Ready("a", readable=True, writable=False)]
    near.recv(1)
    assert not is_readable(watch)


def test_room_is_reported_only_while_it_is_wanted(opened: ExitStack, watch: Watch[str]) -> None:
    near, far = pair(opened, watch, "a")
    watch.want_room(near.fileno(), wanted=True)
    assert watch.ready(10) == [Ready("a", readable=False, writable=True)]
    far.send(b"x")
    assert watch.ready(10) == [Ready("a", readable=True, writable=True)]
    watch.want_room(near.fileno(), wanted=False)
    assert watch.ready(10) == [Ready("a", readable=True, writable=False)]


def test_an_end_is_something_to_read(opened: ExitStack, watch: Watch[str]) -> None:
    _, far = pair(opened, watch, "a")
    far.close()
    assert watch.ready(10) == [Ready("a", readable=True, writable=False)]


def test_who_was_reported_comes_again_after_the_others(opened: ExitStack, watch: Watch[str]) -> None:
    for name in "abcde":
        pair(opened, watch, name)[1].send(b"x")
    rounds = [names(watch, 2) for _ in range(5)]
    assert all(len(set(one)) == 2 for one in rounds)
    assert sorted(name for one in rounds for name in one) == sorted("abcde" * 2)


def test_a_recalled_owner_is_reported_once(opened: ExitStack, watch: Watch[str]) -> None:
    pair(opened, watch, "a")
    watch.recall("a")
    watch.recall("a")
    assert is_readable(watch)
    assert watch.ready(10) == [Ready("a", readable=True, writable=False)]
    assert not is_readable(watch)
    assert watch.ready(10) == []


def test_a_recalled_owner_that_is_ready_anyhow_is_reported_once(opened: ExitStack, watch: Watch[str]) -> None:
    near, _ = pair(opened, watch, "a")
    watch.want_room(near.fileno(), wanted=True)
    watch.recall("a")
    assert watch.ready(10) == [Ready("a", readable=True, writable=True)]
    watch.want_room(near.fileno(), wanted=False)
    assert not is_readable(watch)


def test_more_recalls_than_fit_stay_for_the_next_time(watch: Watch[str]) -> None:
    for name in "abc":
        watch.recall(name)
    assert names(watch, 2) == ["a", "b"]
    assert is_readable(watch)
    assert names(watch, 2) == ["c"]
    assert not is_readable(watch)


def test_a_recall_can_be_taken_back(watch: Watch[str]) -> None:
    watch.recall("a")
    watch.dismiss("b")
    assert is_readable(watch)
    watch.dismiss("a")
    watch.dismiss("a")
    assert not is_readable(watch)


def test_what_is_removed_is_forgotten_with_its_recall(opened: ExitStack, watch: Watch[str]) -> None:
    near, far = pair(opened, watch, "a")
    far.send(b"x")
    watch.recall("a")
    watch.remove(near.fileno())
    assert not is_readable(watch)
    assert watch.ready(10) == []


def test_a_number_that_is_used_again_belongs_to_its_new_owner(opened: ExitStack, watch: Watch[str]) -> None:
    near, _ = pair(opened, watch, "old")
    number = near.fileno()
    watch.remove(number)
    near.close()
    near, far = pair(opened, watch, "new")
    assert near.fileno() == number
    far.send(b"x")
    assert names(watch) == ["new"]


def test_closing_twice_does_nothing(watch: Watch[str]) -> None:
    assert watch.fileno() >= 0
    watch.close()
    watch.close()
    assert watch.fileno() == -1
