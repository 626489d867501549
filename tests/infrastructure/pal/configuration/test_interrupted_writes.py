"""A write of the server's file that is interrupted, anywhere: the old file is there or the new one, whole."""

import errno
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import BuiltinFunctionType, FrameType
from typing import Final

import pytest

from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from domain.settings.server import ServerSettings
from infrastructure.pal.configuration.store import ServerConfigurationStore
from tests.adapters.log import RememberingLog
from tests.domain.settings.samples import public_key_of
from tests.infrastructure.pal.configuration.documents import server_document
from tests.netns.tungo_program import program_environment

# Python's names of the functions behind which the system calls of a write stand.
CHANGING_CALLS: Final = frozenset({"open", "flock", "unlink", "fchmod", "write", "flush", "fsync", "replace"})
SYSTEM_CALLS: Final = CHANGING_CALLS | {
    "fstat",
    "stat",
    "lstat",
    "readlink",
    "mkdir",
    "chmod",
    "read",
    "close",
}

COMPLETED: Final = 0
CRASHED: Final = 77


def a_store(file: Path) -> ServerConfigurationStore:
    return ServerConfigurationStore(file, public_key_of, RememberingLog())


def renamed(host: str) -> Callable[[ServerSettings], ServerSettings]:
    return lambda settings: replace(settings, host=host)


def old_text() -> str:
    """What the store itself writes, so that another update gives the same bytes."""
    return json.dumps(server_document(), indent="\t")


def host_of(file: Path) -> str:
    return a_store(file).load().host


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextmanager
def at_call(number: int, interrupt: Callable[[str], None], events: tuple[str, ...]) -> Iterator[None]:
    """Call ``interrupt`` with the name of the ``number``-th call into the system, before it or after it.

    ``events`` are ``c_call``, the moment before, and ``c_return``, the one after.
    """
    passed = itertools.count(1)

    def profile(_frame: FrameType, event: str, function: object) -> None:
        if event not in events or not isinstance(function, BuiltinFunctionType):
            return
        if isinstance(function.__self__, str):  # whose replace is another
            return
        if function.__name__ in SYSTEM_CALLS and next(passed) == number:
            interrupt(function.__name__)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def in_child(work: Callable[[], object]) -> int:
    """The exit status of a copy of this process that does ``work``."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = COMPLETED
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def crash(_call: str) -> None:
    os._exit(CRASHED)


def crashes(work: Callable[[Path], object], folders: Iterator[Path]) -> Iterator[tuple[int, Path]]:
    """Do ``work`` again and again, each time in a folder of its own, and crash one moment later each time."""
    for number, folder in enumerate(folders, start=1):

        def crashing(number: int = number, folder: Path = folder) -> None:
            with at_call(number, crash, ("c_call", "c_return")):
                work(folder)

        status = in_child(crashing)
        yield number, folder
        if status == COMPLETED:
            return
        assert status == CRASHED


def folders_with_a_file(tmp_path: Path) -> Iterator[Path]:
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "server.json").write_text(old_text())
        (folder / "server.json").chmod(0o600)
        yield folder


def test_a_crash_at_any_moment_of_an_update_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    hosts: list[str] = []
    old_host = str(server_document()["Host"])

    def update(folder: Path) -> None:
        a_store(folder / "server.json").update(renamed("new.example.org"))

    for _, folder in crashes(update, folders_with_a_file(tmp_path)):
        file, backup = folder / "server.json", folder / "server.json.bak"
        hosts.append(host_of(file))
        assert hosts[-1] in {old_host, "new.example.org"}
        if hosts[-1] == old_host:
            assert file.read_text() == old_text()
        if backup.exists():
            assert backup.read_text() == old_text()
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
        a_store(file).update(renamed("next.example.org"))
        assert host_of(file) == "next.example.org"
        assert host_of(backup) == hosts[-1]
        assert names(folder) == {"server.json", "server.json.bak", ".server.json.lock"}
    assert hosts == sorted(hosts, key=[old_host, "new.example.org"].index)
    assert set(hosts) == {old_host, "new.example.org"}
    assert len(hosts) > 40


def test_a_crash_at_any_moment_of_the_creation_leaves_no_file_or_a_whole_one(tmp_path: Path) -> None:
    created: list[bool] = []

    def create(folder: Path) -> None:
        a_store(folder / "tungo" / "server.json").load_or_create()

    folders = (tmp_path / str(number) for number in itertools.count())
    for _, folder in crashes(create, folders):
        file = folder / "tungo" / "server.json"
        try:
            a_store(file).load()
            created.append(True)
        except ConfigurationMissingError:
            created.append(False)
        a_store(file).load_or_create()
        assert host_of(file) == ""
        assert names(file.parent) == {"server.json", ".server.json.lock"}
    assert created == sorted(created)
    assert set(created) == {False, True}


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get)
def test_an_error_of_any_call_is_told_in_one_sentence_and_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, code: int
) -> None:
    failed_calls: list[str] = []

    def fail(call: str) -> None:
        failed_calls.append(call)
        if call != "close":  # which frees the descriptor even if it fails
            raise OSError(code, os.strerror(code))

    old_host = str(server_document()["Host"])
    for number, folder in enumerate(folders_with_a_file(tmp_path), start=1):
        file = folder / "server.json"
        failures = len(failed_calls)
        try:
            with at_call(number, fail, ("c_call",)):
                a_store(file).update(renamed("new.example.org"))
        except ConfigurationError as error:
            (sentence,) = error.sentences
            assert str(file) in sentence
            assert sentence.endswith(".")
        else:
            assert host_of(file) == "new.example.org"
        assert host_of(file) in {old_host, "new.example.org"}
        a_store(file).update(renamed("next.example.org"))
        assert host_of(file) == "next.example.org"
        assert names(folder) == {"server.json", "server.json.bak", ".server.json.lock"}
        if len(failed_calls) == failures:
            break
    assert set(failed_calls) >= CHANGING_CALLS


PROGRAM: Final = """
import sys
from dataclasses import replace
from pathlib import Path
from application.runtime.configuration import ConfigurationError
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.text import TextEventLog
from infrastructure.pal.configuration.store import ServerConfigurationStore

store = ServerConfigurationStore(Path(sys.argv[1]), PycaPrimitives().public_key, TextEventLog())
try:
    store.update(lambda settings: replace(settings, host=sys.argv[2]))
    print("updated")
except ConfigurationError as error:
    print(error)
print(store.load().host)
"""


def in_mount_namespace(script: str, file: Path) -> list[str]:
    """What ``script`` prints, in which ``update HOST`` changes ``$file``; its mounts are its own.

    Where the machine cannot have namespaces the test is skipped.
    """
    prelude = 'update() { "$python" -c "$program" "$file" "$1"; }; folder=$(dirname "$file"); set -e\n'
    isolated = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    if os.geteuid() != 0 or subprocess.run([*isolated, "true"], check=False).returncode != 0:
        pytest.skip("needs root and mount namespaces")
    done = subprocess.run(
        [*isolated, prelude + script],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=program_environment() | {"python": sys.executable, "program": PROGRAM, "file": str(file)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.netns
def test_on_a_full_disk_the_old_file_stays_and_once_there_is_room_it_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "tungo" / "server.json"
    source = tmp_path / "source.json"
    file.parent.mkdir()
    source.write_text(old_text())
    told = in_mount_namespace(
        f"""
        mount -t tmpfs -o size=32k,mode=700 tmpfs "$folder"
        cp {source} "$file"
        dd if=/dev/zero of="$folder/filler" bs=1k 2>/dev/null || true
        update new.example.org
        cmp {source} "$file"
        rm "$folder/filler"
        update new.example.org
        ls -A "$folder"
        """,
        file,
    )
    old_host = str(server_document()["Host"])
    assert told == [
        f"{file} could not be written: No space left on device.",
        old_host,
        "updated",
        "new.example.org",
        ".server.json.lock",
        "server.json",
        "server.json.bak",
    ]


@pytest.mark.netns
def test_in_a_read_only_folder_the_file_is_read_and_the_reason_told(tmp_path: Path) -> None:
    file = tmp_path / "tungo" / "server.json"
    file.parent.mkdir()
    file.write_text(old_text())
    told = in_mount_namespace(
        """
        mount --bind "$folder" "$folder"
        mount -o remount,bind,ro "$folder"
        update new.example.org
        """,
        file,
    )
    assert told == [
        f"{file} could not be written: Read-only file system.",
        str(server_document()["Host"]),
    ]
    assert names(file.parent) == {"server.json"}
