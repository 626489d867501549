"""The watch over a file: its delays, its threads and descriptors, and what it does where nothing tells it."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path

import pytest

from infrastructure.pal.configuration import watching
from infrastructure.pal.configuration.watching import LONGEST_UNREST_S, LOOK_INTERVAL_S, QUIET_S, WatchedFile
from tests.adapters.log import RememberingLog
from tests.netns.tungo_program import program_environment

# How long a change may take to be noticed with a kernel that tells; a look takes LOOK_INTERVAL_S.
TOLD_S = 2.0


def watched(file: Path, log: RememberingLog | None = None, **intervals: float) -> WatchedFile:
    return WatchedFile(file, log or RememberingLog(), **intervals)


async def noticed(changes: WatchedFile, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await changes.wait()
    except TimeoutError:
        return False
    return True


async def seconds_until(work: Coroutine[None, None, object]) -> float:
    started_s = time.monotonic()
    await work
    return time.monotonic() - started_s


def in_use() -> tuple[int, int]:
    """This process's threads, those of libraries among them, and its descriptors."""
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_that_is_emptied_and_then_written_is_one_change_and_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text("before")

    async def run() -> str:
        changes = watched(file)
        waiting = asyncio.ensure_future(noticed(changes, TOLD_S))
        await asyncio.sleep(0.1)
        with file.open("w") as rewritten:
            await asyncio.sleep(QUIET_S / 2)
            rewritten.write("after")
        assert await waiting
        found = file.read_text()
        assert not await noticed(changes, 0.2)
        return found

    assert asyncio.run(run()) == "after"


def test_a_file_that_is_away_for_a_moment_has_not_vanished(tmp_path: Path) -> None:
    """An editor moves the file to its backup's name before it writes the new one."""
    file = tmp_path / "server.json"
    file.write_text("before")

    async def run() -> bool:
        waiting = asyncio.ensure_future(noticed(watched(file), TOLD_S))
        await asyncio.sleep(0.1)
        file.rename(tmp_path / "server.json~")
        await asyncio.sleep(QUIET_S / 2)
        file.write_text("after")
        return await waiting and file.exists()

    assert asyncio.run(run())


def test_a_file_that_never_rests_is_reported_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text("before")

    async def append_for_ever() -> None:
        while True:
            with file.open("a") as growing:
                growing.write(".")
            await asyncio.sleep(QUIET_S / 4)

    async def run() -> float:
        changes = watched(file)
        writing = asyncio.ensure_future(append_for_ever())
        try:
            return await seconds_until(changes.wait())
        finally:
            writing.cancel()

    assert asyncio.run(run()) < 3 * LONGEST_UNREST_S


def test_other_files_in_the_folder_are_none_of_its_business(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text("before")

    async def run() -> tuple[bool, bool]:
        changes = watched(file)
        waiting = asyncio.ensure_future(noticed(changes, 0.5))
        for number in range(5):
            (tmp_path / f"other{number}").touch()
            await asyncio.sleep(0.05)
        by_others = await waiting
        file.write_text("after")
        return by_others, await noticed(changes, TOLD_S)

    assert asyncio.run(run()) == (False, True)


def test_a_change_of_rights_is_a_change_for_they_may_have_kept_the_file_from_being_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "server.json"
    file.touch(mode=0o000)

    async def run() -> bool:
        waiting = asyncio.ensure_future(noticed(watched(file), TOLD_S))
        await asyncio.sleep(0.1)
        file.chmod(0o600)
        return await waiting

    assert asyncio.run(run())


def test_a_folder_that_goes_and_comes_back_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "tungo"
    file = folder / "server.json"
    log = RememberingLog()

    async def run() -> None:
        changes = watched(file, log, untold_look_interval_s=0.01)
        for _ in range(2):
            waiting = asyncio.ensure_future(noticed(changes, TOLD_S))
            await asyncio.sleep(0.1)
            folder.mkdir()
            file.touch()
            assert await waiting
            assert not await noticed(changes, 0.2)
            waiting = asyncio.ensure_future(noticed(changes, TOLD_S))
            await asyncio.sleep(0.1)
            shutil.rmtree(folder)
            assert await waiting

    asyncio.run(run())
    assert log.events == []


def test_what_the_kernel_does_not_tell_is_seen_at_the_next_look(tmp_path: Path) -> None:
    """The folder of a link in the middle of the way to the file is not watched."""
    for name in ("link", "middle", "old", "new"):
        (tmp_path / name).mkdir()
    for name in ("old", "new"):
        (tmp_path / name / "server.json").write_text("same length")
    middle, link = tmp_path / "middle" / "server.json", tmp_path / "link" / "server.json"
    middle.symlink_to(tmp_path / "old" / "server.json")
    link.symlink_to(middle)

    async def run() -> tuple[bool, bool]:
        patient, eager = watched(link), watched(link, look_interval_s=0.1)
        both = asyncio.gather(noticed(patient, TOLD_S), noticed(eager, TOLD_S))
        await asyncio.sleep(0.2)
        (tmp_path / "middle" / "successor").symlink_to(tmp_path / "new" / "server.json")
        (tmp_path / "middle" / "successor").replace(middle)
        told, looked = await both
        return told, looked

    assert asyncio.run(run()) == (False, True)
    assert LOOK_INTERVAL_S == 30.0


def test_cancelling_is_immediate_and_leaves_neither_threads_nor_descriptors(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.touch()

    async def run() -> list[float]:
        changes = watched(file)
        delays_s = []
        for _ in range(20):
            waiting = asyncio.ensure_future(changes.wait())
            await asyncio.sleep(0.02)
            waiting.cancel()
            delays_s.append(await seconds_until(asyncio.wait([waiting])))
            file.write_text("a change that ends a wait as well")
            await changes.wait()
        return delays_s

    def run_and_end() -> tuple[list[float], float]:
        with asyncio.Runner() as runner:
            delays_s = runner.run(run())
            started_s = time.monotonic()
        # What a process waits for before it exits: the threads that are no daemons.
        for thread in set(threading.enumerate()) - known:
            thread.join()
        return delays_s, time.monotonic() - started_s

    known = set(threading.enumerate())
    run_and_end()  # what is imported, and kept for the whole process, at the first use
    before = in_use()
    delays_s, end_s = run_and_end()
    assert max(delays_s) < 0.05
    assert end_s < 0.1
    deadline_s = time.monotonic() + 5
    while in_use() > before and time.monotonic() < deadline_s:
        time.sleep(0.01)  # the watcher's own thread ends by itself
    assert in_use() == before


def refusing(error: Exception) -> object:
    def refuse(*_: object, **__: object) -> object:
        raise error

    return refuse


@pytest.mark.parametrize(
    "error", [OSError("watches"), RuntimeError("instances")], ids=["watches", "instances"]
)
def test_where_folders_cannot_be_watched_the_file_is_looked_at_and_that_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    file, log = tmp_path / "server.json", RememberingLog()
    file.write_text("before")
    monkeypatch.setattr(watching, "awatch", refusing(error))

    async def run() -> None:
        changes = watched(file, log, untold_look_interval_s=0.01)
        for text in ("once", "twice"):
            waiting = asyncio.ensure_future(noticed(changes, TOLD_S))
            await asyncio.sleep(0.05)
            file.write_text(text)
            assert await waiting

    asyncio.run(run())
    (event,) = log.events
    assert (event.level, event.fields["reason"], event.fields["path"]) == ("warning", str(error), str(file))


PROGRAM = """
import asyncio, sys
from pathlib import Path
from infrastructure.logging.text import TextEventLog
from infrastructure.logging.stderr import setup_logging
from application.runtime.log import LogLevel
from infrastructure.pal.configuration.watching import WatchedFile

async def main() -> None:
    file = Path(sys.argv[1])
    changes = WatchedFile(file, TextEventLog())
    waiting = asyncio.ensure_future(changes.wait())
    await asyncio.sleep(0.1)
    file.write_text("after")
    await waiting
    print("noticed")

setup_logging(LogLevel.INFO)
asyncio.run(main())
"""


@pytest.mark.netns
@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_with_the_kernels_limits_reached_a_change_is_noticed_within_two_seconds(
    tmp_path: Path, limit: str
) -> None:
    """A user namespace has limits of its own."""
    file = tmp_path / "server.json"
    file.write_text("before")
    isolated = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    if os.geteuid() != 0 or subprocess.run([*isolated, "true"], check=False).returncode != 0:
        pytest.skip("needs user namespaces")
    script = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
    done = subprocess.run(
        [*isolated, script, "sh", sys.executable, "-c", PROGRAM, str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        env=program_environment(),
    )
    assert done.stdout == "noticed\n"
    assert done.stderr.count("cannot be watched") == 1
