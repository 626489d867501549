"""What stands in a journal, whose it is, and what is left of it after a kill."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from infrastructure.pal.linux.errors import AnotherInstanceError, JournalError
from infrastructure.pal.linux.journal import (
    CLIENT,
    DEFAULT_STATE_FOLDER,
    SERVER,
    STATE_FOLDER_VARIABLE,
    Entry,
    JournalFolder,
)

TUN0: Final = Entry("kind", {"name": "tun0"})
TUN1: Final = Entry("kind", {"name": "tun1"})

# What a process that is to be killed runs: it claims the journal, records an entry and waits.
KILLED_PROGRAM: Final = """
import pathlib, signal, sys
from infrastructure.pal.linux.journal import JournalFolder, SERVER

with JournalFolder(pathlib.Path(sys.argv[1])).claimed(SERVER, "tun0") as journal:
    journal.record("kind", {"name": "tun0"})
    print("recorded", flush=True)
    signal.pause()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "tungo"


@pytest.fixture
def folder(path: Path) -> JournalFolder:
    return JournalFolder(path)


@pytest.fixture
def running(path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process with the journal of the server's tun0, with TUN0 in it."""
    program = subprocess.Popen(
        [sys.executable, "-c", KILLED_PROGRAM, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "recorded\n"
        yield program
        program.kill()


def leave(folder: JournalFolder, *entries: Entry, interface: str = "tun0") -> Path:
    """As a killed server leaves its journal; the file."""
    with folder.claimed(SERVER, interface) as journal:
        for entry in entries:
            journal.record(entry.kind, entry.facts)
        [file] = folder_path(folder).glob(f"server.{interface}.*")
    return file


def folder_path(folder: JournalFolder) -> Path:
    return folder._path


def left(folder: JournalFolder) -> list[Entry]:
    with folder.claimed(SERVER, "tun0") as journal:
        return list(journal.entries.values())


def test_a_journal_in_which_nothing_is_left_vanishes(folder: JournalFolder, path: Path) -> None:
    with folder.claimed(CLIENT, "tun0") as journal:
        number = journal.record(TUN0.kind, TUN0.facts)
        assert len(list(path.iterdir())) == 1
        journal.strike(number)
    assert list(path.iterdir()) == []


def test_what_is_not_struck_is_found_again_in_its_order(folder: JournalFolder) -> None:
    with folder.claimed(SERVER, "tun0") as journal:
        journal.record(TUN0.kind, TUN0.facts)
        struck = journal.record("other", {})
        journal.record(TUN1.kind, TUN1.facts)
        journal.strike(struck)
    assert left(folder) == [TUN0, TUN1]


def test_numbers_are_not_given_twice(folder: JournalFolder) -> None:
    leave(folder, TUN0)
    with folder.claimed(SERVER, "tun0") as journal:
        first = journal.record(TUN1.kind, TUN1.facts)
        assert list(journal.entries.values()) == [TUN0, TUN1]
        journal.strike(first)
    assert left(folder) == [TUN0]


def test_an_entry_is_in_the_file_before_record_returns(folder: JournalFolder, path: Path) -> None:
    with folder.claimed(SERVER, "tun0") as journal:
        number = journal.record("kind", {"list": ["ä", 1, None, {"x": 2}]})
        [file] = path.iterdir()
        line = json.loads(file.read_bytes().splitlines()[-1])
        assert line == {"entry": number, "kind": "kind", "facts": {"list": ["ä", 1, None, {"x": 2}]}}


def test_only_the_owner_can_read_folder_and_files(folder: JournalFolder, path: Path) -> None:
    file = leave(folder, TUN0)
    assert path.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn_bytes", range(1, 40))
def test_a_line_torn_by_the_kill_is_as_if_never_written(folder: JournalFolder, torn_bytes: int) -> None:
    file = leave(folder, TUN0, TUN1)
    content = file.read_bytes()
    assert len(content.splitlines()[-1]) > 40
    file.write_bytes(content[:-torn_bytes])
    assert left(folder) == [TUN0]
    with folder.claimed(SERVER, "tun0") as journal:
        journal.record(TUN1.kind, TUN1.facts)
    assert left(folder) == [TUN0, TUN1]


@pytest.mark.parametrize(
    "line",
    [b"\x00\xff", b"[]", b"7", b'{"entry": 9}', b'{"entry": "9", "kind": "x", "facts": {}}', b'{"news": 1}'],
)
def test_lines_that_nobody_understands_do_not_hide_the_others(folder: JournalFolder, line: bytes) -> None:
    file = leave(folder, TUN0)
    file.write_bytes(file.read_bytes() + line + b"\n")
    assert left(folder) == [TUN0]


def test_a_running_process_is_named_and_its_journal_left_alone(
    folder: JournalFolder, running: "subprocess.Popen[str]", path: Path
) -> None:
    [file] = path.iterdir()
    before = file.read_bytes()
    with (
        pytest.raises(AnotherInstanceError, match=rf"other TunGo server.*process {running.pid} has tun0"),
        folder.claimed(SERVER, "tun0"),
    ):
        pass
    assert file.read_bytes() == before


def test_the_journal_of_a_killed_process_can_be_claimed(
    folder: JournalFolder, running: "subprocess.Popen[str]"
) -> None:
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert left(folder) == [TUN0]


def test_two_claims_of_one_process_exclude_each_other(folder: JournalFolder) -> None:
    with folder.claimed(SERVER, "tun0"):
        with pytest.raises(AnotherInstanceError), folder.claimed(SERVER, "tun0"):
            pass
        with folder.claimed(SERVER, "tun1"), folder.claimed(CLIENT, "tun0"):
            pass


def test_interfaces_are_listed_by_role(folder: JournalFolder, path: Path) -> None:
    assert folder.interfaces(SERVER) == []
    assert not path.exists()
    leave(folder, TUN0, interface="tun.1")
    leave(folder, TUN0, interface="tun0")
    (path / "server.tun9.1.journal").touch()  # of another network namespace
    assert folder.interfaces(SERVER) == ["tun.1", "tun0"]
    assert folder.interfaces(CLIENT) == []


def test_others_are_compared_whether_they_run_or_not(folder: JournalFolder) -> None:
    leave(folder, TUN0, interface="killed0")
    with folder.claimed(SERVER, "tun0") as journal, folder.claimed(CLIENT, "tun1") as running:
        running.record(TUN1.kind, TUN1.facts)
        with journal.comparing() as theirs:
            assert theirs == [TUN1, TUN0]


def test_a_change_is_passed_on_to_a_running_process_with_an_equal_entry(folder: JournalFolder) -> None:
    leave(folder, TUN0, interface="killed0")
    with folder.claimed(SERVER, "tun0") as journal, folder.claimed(SERVER, "tun1") as running:
        mine = journal.record(TUN0.kind, TUN0.facts)
        assert journal.pass_on(mine) is False  # a killed one takes nothing back
        theirs = running.record(TUN0.kind, TUN0.facts)
        assert journal.pass_on(mine) is True
        assert journal.entries == {}
        assert running.pass_on(theirs) is False
        running.strike(theirs)


@pytest.mark.parametrize("told", ["boot", "namespace"])
def test_what_was_changed_before_the_last_boot_is_void(folder: JournalFolder, told: str) -> None:
    file = leave(folder, TUN0)
    began, *rest = file.read_text().splitlines(keepends=True)
    earlier = json.loads(began)
    earlier["began"][told] = 77
    file.write_text("".join([json.dumps(earlier) + "\n", *rest]))
    with folder.claimed(SERVER, "tun0") as journal:
        now = journal.record(TUN1.kind, TUN1.facts)
        assert {number: journal.is_void(number) for number in journal.entries} == {1: True, now: False}


def test_a_link_in_place_of_a_file_is_not_followed(folder: JournalFolder, tmp_path: Path) -> None:
    file = leave(folder, TUN0)
    other = tmp_path / "somebody-else"
    other.write_text("precious")
    file.unlink()
    file.symlink_to(other)
    with pytest.raises(JournalError, match="cannot open the journal"), folder.claimed(SERVER, "tun0"):
        pass
    assert other.read_text() == "precious"


def test_a_link_in_place_of_the_folder_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(JournalError, match="cannot use the folder"):
        leave(JournalFolder(path))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(path: Path, mode: int) -> None:
    path.mkdir(parents=True)
    path.chmod(mode)
    with pytest.raises(JournalError, match="writable for nobody else"):
        leave(JournalFolder(path))


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=rf"{tmp_path}/file/tungo.*: Not a directory; run as root"):
        leave(JournalFolder(tmp_path / "file" / "tungo"))


def test_a_full_disk_is_an_error_before_anything_is_changed(
    folder: JournalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write
    with folder.claimed(SERVER, "tun0") as journal:
        with monkeypatch.context() as patch:
            patch.setattr("os.write", lambda file, data: real_write(file, data[:5]))
            with pytest.raises(JournalError, match="disk is full"):
                journal.record(TUN0.kind, TUN0.facts)
        assert journal.entries == {}


def test_the_environment_names_the_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_FOLDER_VARIABLE, str(path))
    assert folder_path(JournalFolder.of_this_host()) == path
    monkeypatch.setenv(STATE_FOLDER_VARIABLE, "")
    assert folder_path(JournalFolder.of_this_host()) == Path(DEFAULT_STATE_FOLDER)
