"""New files: whole, on the disk, and with the mode that was asked for."""

import os
import stat
from pathlib import Path

import pytest

from infrastructure.pal.durable import sync_folder, write_new


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_new_file_has_its_mode_whatever_the_umask_is(tmp_path: Path, mode: int) -> None:
    old = os.umask(0o277)
    try:
        write_new(tmp_path / "f", b"new", mode)
    finally:
        os.umask(old)
    assert (tmp_path / "f").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


def test_what_had_the_name_goes_and_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "f").symlink_to("target")
    write_new(tmp_path / "f", b"new", 0o600)
    assert not (tmp_path / "f").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"theirs"


def test_content_and_name_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    write_new(tmp_path / "f", b"new", 0o600)
    sync_folder(tmp_path)
    assert synced == [(tmp_path / "f").stat().st_ino, tmp_path.stat().st_ino]
