"""When a recorded change stands in the journal, and when it is undone."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.journal import SERVER, Journal, JournalFolder, Json
from infrastructure.pal.linux.recorded import recorded

KIND, FACTS = "kind", {"name": "tun0"}


class Host:
    """``steps`` tells what was done, each with how many entries the journal had then."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.steps: list[tuple[str, int]] = []
        self.failure: BaseException | None = None  # of making the change

    def note(self, step: str) -> None:
        self.steps.append((step, len(self.journal.entries)))

    async def make(self) -> None:
        self.note("make")
        if self.failure is not None:
            raise self.failure

    async def undo(self, facts: Mapping[str, Json]) -> None:
        assert facts == FACTS
        self.note("undo")

    async def live(self, failure: Exception | None = None) -> None:
        async with recorded(self.journal, KIND, FACTS, self.make, self.undo):
            self.note("inside")
            if failure is not None:
                raise failure


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with JournalFolder(tmp_path / "tungo").claimed(SERVER, "tun0") as journal:
        yield Host(journal)
        assert not journal.entries


def test_a_change_is_in_the_journal_from_before_it_is_made_until_it_is_undone(host: Host) -> None:
    asyncio.run(host.live())
    assert host.steps == [("make", 1), ("inside", 1), ("undo", 1)]


def test_a_change_is_undone_after_a_failure_inside(host: Host) -> None:
    with pytest.raises(ValueError, match="inside"):
        asyncio.run(host.live(ValueError("inside")))
    assert host.steps == [("make", 1), ("inside", 1), ("undo", 1)]


def test_a_change_that_was_refused_is_not_undone(host: Host) -> None:
    host.failure = NetworkError("refused")
    with pytest.raises(NetworkError, match="refused"):
        asyncio.run(host.live())
    assert host.steps == [("make", 1)]


def test_a_change_that_was_cancelled_is_undone_for_it_may_have_been_made(host: Host) -> None:
    host.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(host.live())
    assert host.steps == [("make", 1), ("undo", 1)]
