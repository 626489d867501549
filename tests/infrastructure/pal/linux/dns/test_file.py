"""The name servers in resolv.conf: in the journal, against others who write there, and after a kill."""

import asyncio
import errno
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import pytest

from infrastructure.pal.linux.dns import file as file_module
from infrastructure.pal.linux.dns import swap
from infrastructure.pal.linux.dns.content import Author
from infrastructure.pal.linux.dns.file import put_back_of_the_dead, servers_in_file
from infrastructure.pal.linux.errors import NetworkError, ResolverError
from infrastructure.pal.linux.journal import CLIENT, Journal, JournalFolder
from infrastructure.pal.linux.recovery import clean_up, recover_names
from tests.adapters.log import RememberingLog
from tests.infrastructure.pal.linux.dns.places import (
    OUR_LINES,
    SERVERS,
    SHAPES,
    THEIRS,
    Entry,
    lines_of,
    plain_file,
    state_of,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")
Shape = Callable[[Path], None]

LEASE: Final = b"# by a lease\nsearch cafe.example\nnameserver 192.0.2.67\n"
LOOK_S: Final = 0.005

# Whatever a change to the disk is made of; a kill comes before one of them.
STEPS: Final = (
    (Journal, "_append"),
    *((os, name) for name in ("link", "open", "fchmod", "fsync", "pwrite", "ftruncate")),
    *((Path, name) for name in ("rename", "unlink")),
)
TOO_MANY_STEPS: Final = 60

# What can stand there, and whether it is a mount of its own.
WAYS: Final = (*((shape, False) for shape in SHAPES), (plain_file, True))
# And whether the journal is lost as well: then nobody knows the content of a mount any more.
FATES: Final = (*((*way, False) for way in WAYS), *((shape, False, True) for shape in SHAPES))


@pytest.fixture(params=[False, True])
def in_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """True if the file is as a mount of its own, which cannot be linked."""

    def refuse(source: Path, destination: Path, *, follow_symlinks: bool) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    is_mount: bool = request.param
    if is_mount:
        monkeypatch.setattr(os, "link", refuse)
    return is_mount


@asynccontextmanager
async def held(path: Path, folder: JournalFolder, log: RememberingLog) -> AsyncIterator[Journal]:
    with folder.claimed(CLIENT, "tun0") as journal:
        async with servers_in_file(path, SERVERS, journal, log, look_every_s=LOOK_S):
            yield journal


def write_lease(path: Path) -> None:
    """As a DHCP client does."""
    path.write_bytes(LEASE)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(LOOK_S)


def restored(before: dict[str, Entry], after: dict[str, Entry], *, in_place: bool) -> bool:
    """Whether all is as before; only the time of a file that was written in place is another one."""
    if not in_place:
        return before == after
    return {name: entry.content for name, entry in before.items()} == {
        name: entry.content for name, entry in after.items()
    }


def kinds(journal: Journal) -> list[str]:
    return [entry.kind for entry in journal.entries.values()]


def test_the_journal_knows_of_it_for_as_long_as_it_lasts(
    path: Path, folder: JournalFolder, log: RememberingLog, *, in_place: bool
) -> None:
    plain_file(path.parent)
    before = state_of(path.parent)

    async def scenario() -> None:
        async with held(path, folder, log) as journal:
            assert lines_of(path) == OUR_LINES
            assert kinds(journal) == ["resolv-conf-content" if in_place else "resolv-conf"]
            [entry] = journal.entries.values()
            assert entry.facts.get("content") == (THEIRS.decode() if in_place else None)

    asyncio.run(scenario())
    assert restored(before, state_of(path.parent), in_place=in_place)
    assert folder.interfaces(CLIENT) == []
    assert log.events == []


def test_what_a_dhcp_client_writes_meanwhile_is_overruled_and_comes_back_in_the_end(
    path: Path, folder: JournalFolder, log: RememberingLog, *, in_place: bool
) -> None:
    plain_file(path.parent)

    async def scenario() -> None:
        async with held(path, folder, log) as journal:
            if in_place:
                write_lease(path)
            else:
                lease = path.with_name("lease")
                write_lease(lease)
                lease.rename(path)
            await until(lambda: lines_of(path)[:2] == OUR_LINES[:2])
            assert "search cafe.example" in lines_of(path)
            assert len(journal.entries) == 1

    asyncio.run(scenario())
    assert path.read_bytes() == LEASE
    assert sorted(state_of(path.parent)) == ["resolv.conf"]
    assert folder.interfaces(CLIENT) == []
    assert log.messages == ["somebody else set name servers: those of the tunnel again"]


def test_what_somebody_adds_to_our_file_is_let_stand_until_the_end(
    path: Path, folder: JournalFolder, log: RememberingLog
) -> None:
    plain_file(path.parent)
    before = state_of(path.parent)

    async def scenario() -> None:
        async with held(path, folder, log):
            with path.open("a") as file:
                file.write("options rotate\n")
            written = swap.stamp_of(path)
            await asyncio.sleep(20 * LOOK_S)
            assert swap.stamp_of(path) == written

    asyncio.run(scenario())
    assert state_of(path.parent) == before
    assert log.events == []


def test_what_somebody_writes_in_the_last_moment_stays_and_that_is_said(
    path: Path, folder: JournalFolder, log: RememberingLog, *, in_place: bool
) -> None:
    plain_file(path.parent)

    async def scenario() -> None:
        async with held(path, folder, log):
            write_lease(path)

    asyncio.run(scenario())
    assert path.read_bytes() == LEASE
    assert folder.interfaces(CLIENT) == []
    assert log.messages == ["somebody else has written this file since, and it stays as it is"]


def test_those_who_insist_are_overruled_ever_more_seldom(
    path: Path, folder: JournalFolder, log: RememberingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_file(path.parent)
    pauses: list[float] = []
    overruled = asyncio.Event()

    async def pause(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) > 8:
            overruled.set()
            await asyncio.Event().wait()
        if len(pauses) != 4:
            write_lease(path)

    async def scenario() -> None:
        with folder.claimed(CLIENT, "tun0") as journal:
            async with servers_in_file(path, SERVERS, journal, log, look_every_s=5.0):
                monkeypatch.setattr("infrastructure.pal.linux.dns.file.asyncio.sleep", pause)
                await overruled.wait()
                monkeypatch.undo()

    asyncio.run(scenario())
    assert pauses == [5.0, 10.0, 20.0, 40.0, 5.0, 10.0, 20.0, 40.0, 60.0]


def test_when_the_file_cannot_be_written_again_that_is_said_once(
    path: Path, folder: JournalFolder, log: RememberingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_file(path.parent)

    def refuse(*_: object) -> None:
        raise ResolverError("read-only")

    async def scenario() -> None:
        async with held(path, folder, log):
            monkeypatch.setattr(swap, "replace", refuse)
            write_lease(path)
            await until(lambda: bool(log.events))
            await asyncio.sleep(20 * LOOK_S)

    asyncio.run(scenario())
    assert log.events[0].fields == {"reason": "read-only"}
    assert log.messages.count("names may be asked for beside the tunnel") == 1
    assert path.read_bytes() == LEASE


def test_the_file_of_another_client_that_runs_is_left_to_it(
    path: Path, folder: JournalFolder, log: RememberingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    other = Author(1, int(started), Author.myself().boot)
    with monkeypatch.context() as patch:
        patch.setattr(Author, "myself", lambda: other)
        swap.replace(path, SERVERS)
    before = state_of(path.parent)

    async def scenario() -> None:
        async with held(path, folder, log):
            pass

    with pytest.raises(ResolverError, match="another TunGo client, process 1, has its name servers"):
        asyncio.run(scenario())
    assert not put_back_of_the_dead(path)
    assert state_of(path.parent) == before
    assert folder.interfaces(CLIENT) == []


@pytest.mark.parametrize(("shape", "in_place"), WAYS, indirect=["in_place"])
@pytest.mark.parametrize("error", [NetworkError("refused"), asyncio.CancelledError()])
def test_whatever_step_fails_all_is_as_before_or_a_clean_up_makes_it_so(
    shape: Shape,
    error: BaseException,
    path: Path,
    folder: JournalFolder,
    log: RememberingLog,
    monkeypatch: pytest.MonkeyPatch,
    *,
    in_place: bool,
) -> None:
    shape(path.parent)
    before = state_of(path.parent)

    def fail(name: str) -> None:
        raise error

    steps: list[str] = []
    for number in count(1):
        with monkeypatch.context() as patch:
            steps = install(number, fail, patch.setattr)
            try:
                live(path, folder, log)
            except BaseException as exc:
                if exc is not error:
                    raise
        asyncio.run(clean_up(folder, CLIENT))
        assert restored(before, state_of(path.parent), in_place=in_place), " ".join(steps)
        assert folder.interfaces(CLIENT) == [], steps
        if len(steps) < number:
            break
        assert number < TOO_MANY_STEPS
    assert "_append" in steps


@pytest.mark.parametrize(("shape", "in_place", "journal_is_lost"), FATES, indirect=["in_place"])
def test_at_whatever_step_the_process_is_killed_a_clean_up_leaves_all_as_before(
    shape: Shape,
    path: Path,
    folder: JournalFolder,
    log: RememberingLog,
    *,
    in_place: bool,
    journal_is_lost: bool,
) -> None:
    shape(path.parent)
    before = state_of(path.parent)
    fates: list[str] = []
    while not fates or fates[-1] != "survived":
        fates.append(fate_of_a_life(len(fates) + 1, path, folder))
        if journal_is_lost:  # by a power cut, /run is empty afterwards
            shutil.rmtree(folder._path)
            put_back_of_the_dead(path)
        assert asyncio.run(clean_up(folder, CLIENT)).failed == []
        after = state_of(path.parent)
        if journal_is_lost:  # and what is not our own name for a file that is there is no harm
            after = {name: entry for name, entry in after.items() if "tungo" not in name}
        assert restored(before, after, in_place=in_place), " ".join(fates)
        assert folder.interfaces(CLIENT) == [], fates
        assert len(fates) < TOO_MANY_STEPS
    assert {"_append", "rename"} <= set(fates) or in_place


@pytest.mark.parametrize("shape", SHAPES)
def test_after_a_power_cut_the_file_alone_tells_what_is_to_be_put_back(
    shape: Shape, path: Path, folder: JournalFolder, log: RememberingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "RESOLV_CONF", path)
    shape(path.parent)
    before = state_of(path.parent)
    yesterday = replace(Author.myself(), boot="of-another-day")
    for recover in (clean_up(folder, CLIENT), recover_names(folder, log)):
        with monkeypatch.context() as patch:
            patch.setattr(Author, "myself", lambda: yesterday)
            swap.replace(path, SERVERS)
        recovery = asyncio.run(recover)
        assert recovery is None or recovery.undone == [f"the name servers in {path}"]
        assert state_of(path.parent) == before
    assert [event.fields for event in log.events] == [{"changes": 1}]


def test_what_a_running_client_needs_is_no_leftover(
    path: Path, folder: JournalFolder, log: RememberingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "RESOLV_CONF", path)

    async def scenario() -> None:
        async with held(path, folder, log):
            recovery = await clean_up(folder, CLIENT)
            assert (recovery.undone, recovery.failed, len(recovery.running)) == ([], [], 1)
            assert lines_of(path) == OUR_LINES[:2]

    asyncio.run(scenario())


def test_a_killed_clients_lines_that_somebody_replaced_stay_replaced(
    path: Path, folder: JournalFolder, *, in_place: bool
) -> None:
    plain_file(path.parent)
    with folder.claimed(CLIENT, "tun0") as journal:
        change = file_module._Change(path, SERVERS, journal)
        change.make()
    write_lease(path)
    assert asyncio.run(clean_up(folder, CLIENT)).undone == [f"the name servers in {path}"]
    assert path.read_bytes() == LEASE
    assert sorted(state_of(path.parent)) == ["resolv.conf"]


def live(path: Path, folder: JournalFolder, log: RememberingLog) -> None:
    """Hold the name servers and give them up."""

    async def scenario() -> None:
        async with held(path, folder, log):
            pass

    asyncio.run(scenario())


def install(at: int, then: Callable[[str], None], patch: Callable[[object, str, object], None]) -> list[str]:
    """Call ``then`` before the step with that number; the list is that of the steps so far."""
    names: list[str] = []

    def counted(name: str, step: Callable[_P, _R]) -> Callable[_P, _R]:
        def stepping(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            names.append(name)
            if len(names) == at:
                then(name)
            return step(*args, **kwargs)

        return stepping

    for owner, name in STEPS:
        patch(owner, name, counted(name, getattr(owner, name)))
    return names


def fate_of_a_life(at: int, path: Path, folder: JournalFolder) -> str:
    """Before which step a process of its own was killed, or "survived" if it has fewer."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)

            def die(name: str) -> None:
                os.write(writer, name.encode())
                os.kill(os.getpid(), signal.SIGKILL)

            install(at, die, setattr)
            live(path, folder, RememberingLog())
            os.write(writer, b"survived")
        except Exception as exc:
            os.write(writer, f"failed: {exc}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as last_words:
        fate = last_words.read()
    os.waitpid(child, 0)
    return fate
