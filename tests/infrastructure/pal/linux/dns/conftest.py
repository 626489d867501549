"""A PATH with programs of the test before those of the host, and /etc of its own."""

import os
import shutil
from pathlib import Path

import pytest

from infrastructure.pal.linux.dns import resolved
from infrastructure.pal.linux.journal import JournalFolder
from tests.adapters.log import RememberingLog
from tests.infrastructure.pal.linux.dns.places import Programs


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    made = tmp_path / "etc"
    made.mkdir()
    return made


@pytest.fixture
def path(etc: Path) -> Path:
    return etc / "resolv.conf"


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "run")


@pytest.fixture
def log() -> RememberingLog:
    return RememberingLog()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """On a PATH with nothing else but what their scripts need."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "sleep", "touch", "rm"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", os.fspath(folder))
    return Programs(folder)


@pytest.fixture(autouse=True)
def no_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host of the test may have systemd-resolved; what is in this file shows one of the test."""
    sockets = tmp_path / "udp"
    monkeypatch.setattr(resolved, "_TRACES", ((sockets, resolved._TRACES[0][1]),))
    return sockets
