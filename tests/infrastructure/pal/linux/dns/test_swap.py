"""One file in place of another, and back."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infrastructure.pal.linux.dns import swap
from infrastructure.pal.linux.dns.content import Author
from infrastructure.pal.linux.errors import ResolverError
from tests.infrastructure.pal.linux.dns.places import (
    OUR_LINES,
    SERVERS,
    SHAPES,
    THEIRS,
    lines_of,
    link,
    plain_file,
    state_of,
)

Shape = Callable[[Path], None]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_stood_there_comes_back_as_it_was(shape: Shape, path: Path) -> None:
    shape(path.parent)
    before = state_of(path.parent)
    swap.replace(path, SERVERS)
    assert lines_of(path)[:2] == OUR_LINES[:2]
    assert path.lstat().st_mode == 0o100644
    assert swap.put_back(path)
    assert state_of(path.parent) == before


@pytest.mark.parametrize("shape", [plain_file, link])
def test_search_and_options_are_taken_over_through_a_link_too(shape: Shape, path: Path) -> None:
    shape(path.parent)
    swap.replace(path, SERVERS)
    assert lines_of(path) == OUR_LINES


def test_the_file_behind_a_link_is_not_written_to(path: Path) -> None:
    link(path.parent)
    target = path.parent / "run" / "stub-resolv.conf"
    before = target.stat()
    swap.replace(path, SERVERS)
    assert target.read_bytes() == THEIRS
    assert target.stat().st_mtime_ns == before.st_mtime_ns
    assert not path.is_symlink()


def test_the_file_says_where_the_other_one_is_and_it_is_there(path: Path) -> None:
    plain_file(path.parent)
    swap.replace(path, SERVERS)
    assert f"kept in {path}.before-tungo; `tungo client cleanup` puts it back." in path.read_text()
    assert swap.backup_of(path).read_bytes() == THEIRS


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_everybody_can_read_it_whatever_the_umask_is(path: Path, umask: int) -> None:
    former = os.umask(umask)
    try:
        swap.replace(path, SERVERS)
    finally:
        os.umask(former)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("shape", SHAPES)
def test_what_somebody_else_has_put_there_since_stays(shape: Shape, path: Path) -> None:
    shape(path.parent)
    swap.replace(path, SERVERS)
    path.unlink()
    path.write_bytes(b"nameserver 192.0.2.99\n")
    assert not swap.put_back(path)
    assert path.read_bytes() == b"nameserver 192.0.2.99\n"
    assert not swap.backup_of(path).exists()


def test_ours_is_ours_even_if_somebody_has_added_to_it(path: Path) -> None:
    plain_file(path.parent)
    before = state_of(path.parent)
    swap.replace(path, SERVERS)
    with path.open("a") as file:
        file.write("options rotate\n")
    assert swap.put_back(path)
    assert state_of(path.parent) == before


def test_when_ours_was_deleted_the_other_one_comes_back(path: Path) -> None:
    plain_file(path.parent)
    before = state_of(path.parent)
    swap.replace(path, SERVERS)
    path.unlink()
    assert swap.put_back(path)
    assert state_of(path.parent) == before


def test_a_second_replacement_keeps_what_came_in_between(path: Path) -> None:
    plain_file(path.parent)
    swap.replace(path, SERVERS)
    path.unlink()
    path.symlink_to("lease.conf")
    swap.replace(path, SERVERS)
    assert swap.put_back(path)
    assert path.readlink() == Path("lease.conf")
    assert sorted(state_of(path.parent)) == ["resolv.conf"]


def test_putting_back_twice_or_what_was_never_replaced_changes_nothing(path: Path) -> None:
    plain_file(path.parent)
    before = state_of(path.parent)
    assert not swap.put_back(path)
    swap.replace(path, SERVERS)
    swap.put_back(path)
    assert not swap.put_back(path)
    assert state_of(path.parent) == before


def test_a_lost_backup_is_an_error_and_the_file_stays(path: Path) -> None:
    plain_file(path.parent)
    swap.replace(path, SERVERS)
    swap.backup_of(path).unlink()
    with pytest.raises(ResolverError, match="is not there any more"):
        swap.put_back(path)
    assert lines_of(path) == OUR_LINES


def test_what_a_running_process_wrote_is_left_to_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_file(path.parent)
    started = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    other = replace(Author.myself(), process=1, started=int(started))
    with monkeypatch.context() as patch:
        patch.setattr(Author, "myself", lambda: other)
        swap.replace(path, SERVERS)
    before = state_of(path.parent)
    assert not swap.put_back(path)
    assert not swap.put_content_back(path, THEIRS)
    assert state_of(path.parent) == before


@pytest.mark.parametrize("content", [THEIRS, b"", b"nameserver 192.0.2.1\n# \xff\n" * 100])
def test_content_is_replaced_in_place_and_comes_back(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    before = path.stat()
    swap.overwrite(path, SERVERS, content)
    assert lines_of(path)[:2] == OUR_LINES[:2]
    assert swap.put_content_back(path, content)
    assert path.read_bytes() == content
    after = path.stat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)


def test_content_that_is_longer_than_ours_leaves_nothing_of_itself(path: Path) -> None:
    content = THEIRS + b"# and so on\n" * 100
    path.write_bytes(content)
    swap.overwrite(path, SERVERS, content)
    assert lines_of(path) == OUR_LINES
    assert b"and so on" not in path.read_bytes()


def test_content_that_somebody_else_wrote_in_place_stays(path: Path) -> None:
    plain_file(path.parent)
    swap.overwrite(path, SERVERS, THEIRS)
    path.write_bytes(b"nameserver 192.0.2.99\n")
    assert not swap.put_content_back(path, THEIRS)
    assert path.read_bytes() == b"nameserver 192.0.2.99\n"


def test_nothing_is_written_through_a_link(path: Path) -> None:
    link(path.parent)
    before = state_of(path.parent)
    with pytest.raises(ResolverError, match="cannot write to"):
        swap.overwrite(path, SERVERS, THEIRS)
    assert state_of(path.parent) == before


def test_what_is_no_file_is_an_error_and_stays(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ResolverError, match="cannot replace"):
        swap.replace(path, SERVERS)
    assert not swap.put_back(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["resolv.conf"]


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    swap.replace(path, SERVERS)
    assert lines_of(path) == OUR_LINES[:2]
    assert swap.put_back(path)
    assert path.is_fifo()


def test_a_file_that_is_no_configuration_is_refused(path: Path) -> None:
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(ResolverError, match="too large"):
        swap.replace(path, SERVERS)


def test_a_stamp_changes_with_content_and_with_the_file(path: Path) -> None:
    assert swap.stamp_of(path) == ()
    plain_file(path.parent)
    first = swap.stamp_of(path)
    os.utime(path, ns=(0, 1))
    second = swap.stamp_of(path)
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(0, 1))
    copy.rename(path)
    assert len({first, second, swap.stamp_of(path)}) == 3
