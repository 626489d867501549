"""What every watch over a configuration must notice."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from application.runtime.configuration import ConfigurationChanges
from infrastructure.pal.configuration.watching import WatchedFile
from tests.adapters.configuration_changes import AnnouncedChanges
from tests.adapters.log import RememberingLog

# A watch, and what changes the thing that it watches.
Watched: TypeAlias = tuple[ConfigurationChanges, Callable[[], None]]

LONG_ENOUGH_S = 5.0  # a look takes six times as long, so that what is noticed in time was told by the kernel
SHORT_S = 0.2


def announced(_folder: Path) -> Watched:
    changes = AnnouncedChanges()
    return changes, changes.announce


def rewritten(folder: Path) -> Watched:
    file = folder / "server.json"
    file.write_text("before")

    def change() -> None:
        file.write_text(file.read_text() + ".")

    return WatchedFile(file, RememberingLog()), change


def replaced(folder: Path) -> Watched:
    file = folder / "server.json"
    file.write_text("same length")

    def change() -> None:
        new = folder / "new"
        new.write_text("same length")
        new.replace(file)

    return WatchedFile(file, RememberingLog()), change


def vanishing(folder: Path) -> Watched:
    file = folder / "server.json"

    def change() -> None:
        if file.exists():
            file.unlink()
        else:
            file.touch()

    return WatchedFile(file, RememberingLog()), change


def behind_a_link(folder: Path) -> Watched:
    """The link stands in one folder, the file in another."""
    (folder / "real").mkdir()
    file, link = folder / "real" / "server.json", folder / "server.json"
    file.write_text("before")
    link.symlink_to(file)

    def change() -> None:
        file.write_text(file.read_text() + ".")

    return WatchedFile(link, RememberingLog()), change


def in_a_config_map(folder: Path) -> Watched:
    """As Kubernetes mounts it: the name leads through a link that comes to lead to another folder."""
    versions = [folder / f"..{number}" for number in range(3)]
    for version in versions:
        version.mkdir()
        (version / "server.json").write_text("same length")
    data, successor = folder / "..data", folder / "..data_tmp"
    data.symlink_to(versions[0].name)
    (folder / "server.json").symlink_to("..data/server.json")
    later = iter(versions[1:])

    def change() -> None:
        successor.symlink_to(next(later).name)
        successor.replace(data)

    return WatchedFile(folder / "server.json", RememberingLog()), change


@pytest.fixture(params=[announced, rewritten, replaced, vanishing, behind_a_link, in_a_config_map])
def make(request: pytest.FixtureRequest) -> Callable[[Path], Watched]:
    maker: Callable[[Path], Watched] = request.param
    return maker


async def noticed(changes: ConfigurationChanges, within_s: float = LONG_ENOUGH_S) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await changes.wait()
    except TimeoutError:
        return False
    return True


def test_nothing_is_reported_while_nothing_changes(make: Callable[[Path], Watched], tmp_path: Path) -> None:
    async def run() -> None:
        changes, _change = make(tmp_path)
        assert not await noticed(changes, SHORT_S)

    asyncio.run(run())


def test_each_change_is_reported_once_waited_for_or_not(
    make: Callable[[Path], Watched], tmp_path: Path
) -> None:
    async def run() -> None:
        changes, change = make(tmp_path)
        change()
        assert await noticed(changes)
        assert not await noticed(changes, SHORT_S)
        waiting = asyncio.ensure_future(noticed(changes))
        await asyncio.sleep(SHORT_S)
        change()
        assert await waiting

    asyncio.run(run())


def test_a_change_at_the_moment_at_which_waiting_begins_is_reported(
    make: Callable[[Path], Watched], tmp_path: Path
) -> None:
    async def run() -> None:
        changes, change = make(tmp_path)
        waiting = asyncio.ensure_future(noticed(changes))
        await asyncio.sleep(0)
        change()
        assert await waiting

    asyncio.run(run())


def test_cancelling_loses_no_change(make: Callable[[Path], Watched], tmp_path: Path) -> None:
    async def run() -> None:
        changes, change = make(tmp_path)
        for pause_s in (0, SHORT_S):
            waiting = asyncio.ensure_future(changes.wait())
            await asyncio.sleep(pause_s)
            waiting.cancel()
            change()
            assert await noticed(changes)

    asyncio.run(run())
