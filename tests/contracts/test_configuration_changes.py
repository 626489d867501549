"""What every watch over a configuration must notice."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from application.runtime.configuration import ConfigurationChanges
from infrastructure.pal.configuration.watching import PolledFile
from tests.adapters.configuration_changes import AnnouncedChanges

# A watch, and what changes the thing that it watches.
Watched: TypeAlias = tuple[ConfigurationChanges, Callable[[], None]]
SHORT_S = 0.05


def announced(_folder: Path) -> Watched:
    changes = AnnouncedChanges()
    return changes, changes.announce


def rewritten(folder: Path) -> Watched:
    file = folder / "server.json"
    file.write_text("before")

    def change() -> None:
        file.write_text(file.read_text() + ".")

    return PolledFile(file, look_interval_s=0.001), change


def replaced(folder: Path) -> Watched:
    file = folder / "server.json"
    file.write_text("same length")

    def change() -> None:
        new = folder / "new"
        new.write_text("same length")
        new.replace(file)

    return PolledFile(file, look_interval_s=0.001), change


def vanishing(folder: Path) -> Watched:
    file = folder / "server.json"

    def change() -> None:
        if file.exists():
            file.unlink()
        else:
            file.touch()

    return PolledFile(file, look_interval_s=0.001), change


@pytest.fixture(params=[announced, rewritten, replaced, vanishing])
def make(request: pytest.FixtureRequest) -> Callable[[Path], Watched]:
    maker: Callable[[Path], Watched] = request.param
    return maker


async def noticed(changes: ConfigurationChanges) -> bool:
    try:
        async with asyncio.timeout(SHORT_S):
            await changes.wait()
    except TimeoutError:
        return False
    return True


def test_nothing_is_reported_while_nothing_changes(make: Callable[[Path], Watched], tmp_path: Path) -> None:
    async def run() -> None:
        changes, _change = make(tmp_path)
        assert not await noticed(changes)

    asyncio.run(run())


def test_each_change_is_reported_once_waited_for_or_not(
    make: Callable[[Path], Watched], tmp_path: Path
) -> None:
    async def run() -> None:
        changes, change = make(tmp_path)
        change()
        assert await noticed(changes)
        assert not await noticed(changes)
        waiting = asyncio.ensure_future(noticed(changes))
        await asyncio.sleep(0)
        change()
        assert await waiting

    asyncio.run(run())


def test_cancelling_loses_no_change(make: Callable[[Path], Watched], tmp_path: Path) -> None:
    async def run() -> None:
        changes, change = make(tmp_path)
        waiting = asyncio.ensure_future(changes.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        change()
        assert await noticed(changes)

    asyncio.run(run())
