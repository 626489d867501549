import errno
import os
from pathlib import Path

import pytest

from presentation.cli.commands import CommandError
from presentation.cli.secret_file import reserved_file


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    for mask in (0o000, 0o777):
        file = tmp_path / f"under-{mask:o}"
        before = os.umask(mask)
        try:
            with reserved_file(file) as write:
                write("secret")
        finally:
            os.umask(before)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text(encoding="utf-8") == "secret"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(CommandError, match="exists already"), reserved_file(tmp_path / "link"):
        pytest.fail("the body ran")
    assert not (tmp_path / "target").exists()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(CommandError, match=os.strerror(errno.ENOENT)),
        reserved_file(tmp_path / "missing" / "file"),
    ):
        pytest.fail("the body ran")


def test_an_interrupted_body_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), reserved_file(tmp_path / "file"):
        raise KeyboardInterrupt
    assert not (tmp_path / "file").exists()
