"""Replacing files: whole or not at all, by one writer at a time."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.pal.configuration.replacing import (
    LockTimeoutError,
    close_to_others,
    exclusive_lock,
    replace_file,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_new_file_is_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"a much longer old text")
    file.chmod(0o644)
    replace_file(file, b"new")
    assert file.read_bytes() == b"new"
    assert mode(file) == 0o600
    assert file_names(tmp_path) == ["f"]


def test_a_umask_takes_nothing_from_the_owner(tmp_path: Path) -> None:
    old = os.umask(0o277)
    try:
        replace_file(tmp_path / "f", b"new")
    finally:
        os.umask(old)
    assert mode(tmp_path / "f") == 0o600


def test_what_a_crash_left_behind_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / ".f.new").write_bytes(b"half of a te")
    replace_file(tmp_path / "f", b"new")
    assert file_names(tmp_path) == ["f"]


@pytest.mark.parametrize("step", ["open", "fdopen", "fchmod", "fsync", "replace"])
def test_a_failure_at_any_step_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = tmp_path / "f"
    replace_file(file, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, step, failing)
        with pytest.raises(OSError, match="No space left"):
            replace_file(file, b"new")
    assert file.read_bytes() == b"old"
    assert file_names(tmp_path) == ["f"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full takes the place of the new file's descriptor: every write to it fails."""
    file = tmp_path / "f"
    replace_file(file, b"old")
    really_open = os.open

    def open_full(path: Path, flags: int, mode: int = 0o777) -> int:
        return really_open("/dev/full" if str(path).endswith(".new") else path, flags & ~os.O_EXCL, mode)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", open_full)
        patched.setattr(os, "fchmod", lambda *_: None)
        with pytest.raises(OSError, match="No space left"):
            replace_file(file, b"new")
    assert file.read_bytes() == b"old"


def test_if_only_the_folder_cannot_be_synced_the_new_file_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    replace_file(file, b"old")
    really_sync: Callable[[int], None] = os.fsync

    def sync_files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            failing()
        really_sync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", sync_files_only)
        with pytest.raises(OSError, match="No space left"):
            replace_file(file, b"new")
    assert file.read_bytes() == b"new"


def test_the_lock_keeps_a_second_writer_out_until_it_is_given_back(tmp_path: Path) -> None:
    file = tmp_path / "f"
    with exclusive_lock(file):
        with pytest.raises(LockTimeoutError), exclusive_lock(file, timeout_s=0):
            pass
        with exclusive_lock(tmp_path / "another", timeout_s=0):
            pass
    with exclusive_lock(file, timeout_s=0):
        assert mode(tmp_path / ".f.lock") == 0o600


def test_a_writer_that_waits_gets_its_turn(tmp_path: Path) -> None:
    file, order = tmp_path / "f", list[str]()
    holding, waiting = threading.Event(), threading.Event()

    def hold() -> None:
        with exclusive_lock(file):
            holding.set()
            waiting.wait(10)
            order.append("first")

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(10)
    waiting.set()
    with exclusive_lock(file):
        order.append("second")
    holder.join()
    assert order == ["first", "second"]


def test_the_lock_is_given_back_when_the_work_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with exclusive_lock(tmp_path / "f"):
            raise ValueError("work")

    with pytest.raises(ValueError, match="work"):
        fail()
    with exclusive_lock(tmp_path / "f", timeout_s=0):
        pass


def test_a_link_in_place_of_the_lock_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".f.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="Too many levels"), exclusive_lock(tmp_path / "f"):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("before", "after"), [(0o644, 0o600), (0o640, 0o600), (0o600, 0o600), (0o400, 0o400)]
)
def test_rights_of_others_are_taken_back(tmp_path: Path, before: int, after: int) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"")
    file.chmod(before)
    close_to_others(file)
    assert mode(file) == after
