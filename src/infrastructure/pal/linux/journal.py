"""The changes to this host that outlive a killed process, written down before they are made.

One file per role, interface and network namespace, one JSON object per line::

    /run/tungo/server.s_udptun0.4026531833.journal

    {"began": {"process": 4711, "boot": "e7334657-...", "namespace": 3}}
    {"entry": 1, "kind": "sysctl", "facts": {"key": "net.ipv4.ip_forward", ...}}
    {"entry": 2, "kind": "nft-table", "facts": {"name": "tungo_server_s_udptun0", ...}}
    {"struck": 2}

While its process runs it has the file locked (flock), and a clean end removes it. A file that can be locked
was left by a killed process: what is neither struck nor torn in it is still to be taken back, the last entry
first (``infrastructure.pal.linux.recovery``). The folder itself is locked for moments, while files come, go
and are compared.

Who can write here decides what root does next: the folder has to belong to this user alone, and neither it
nor a file in it may be a link.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from infrastructure.pal.linux.errors import AnotherInstanceError, JournalError, JournalRightsError
from infrastructure.pal.linux.namespace import KernelState, namespace_inode

Json: TypeAlias = "str | int | Sequence[Json] | Mapping[str, Json] | None"

STATE_FOLDER_VARIABLE: Final = "TUNGO_STATE_DIR"
DEFAULT_STATE_FOLDER: Final = "/run/tungo"

CLIENT: Final = "client"
SERVER: Final = "server"

_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. ``kind`` names who can take it back, ``facts`` are what that takes."""

    kind: str
    facts: Mapping[str, Json]

    def text(self, fact: str) -> str:
        """A fact that is a text. Raises JournalError."""
        return text(self.facts, fact)


def text(facts: Mapping[str, Json], name: str) -> str:
    """The fact ``name``, a text. Raises JournalError if it is not there or something else."""
    value = facts.get(name)
    if not isinstance(value, str):
        raise JournalError(f"the journal says nothing sensible about {name}")
    return value


@dataclass(frozen=True, slots=True)
class JournalState:
    """What a journal tells to somebody who only looks: whose it is, and what is not struck in it.

    ``void`` are the entries of a network namespace, or a run of the machine, that is no more.
    """

    role: str
    interface: str
    process: int
    is_running: bool
    entries: tuple[Entry, ...]
    void: tuple[Entry, ...]


@dataclass(slots=True)
class _Content:
    """What stands in a file: entries that are not struck, in order, and how far it can be read."""

    entries: dict[int, Entry] = field(default_factory=dict)
    void: set[int] = field(default_factory=set)
    last_number: int = 0
    process: int = 0
    length_bytes: int = 0

    @classmethod
    def read(cls, descriptor: int) -> "_Content":
        """A line without its end was torn by the kill, before the change that it is about was made."""
        document_untrusted = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        complete, end, _ = document_untrusted.rpartition(b"\n")
        content = cls(length_bytes=len(complete + end))
        now: object = KernelState.current().as_dict()
        then = now
        for line_untrusted in complete.splitlines():
            match _object_in(line_untrusted):
                case {"began": {"process": int(process), **kernel_state}}:
                    content.process, then = process, kernel_state
                case {"entry": int(number), "kind": str(kind), "facts": dict(facts)}:
                    content.entries[number] = Entry(kind, facts)
                    content.last_number = max(content.last_number, number)
                    if then != now:
                        content.void.add(number)
                case {"struck": int(number)}:
                    content.entries.pop(number, None)
                case _:
                    pass  # of a newer version, or damaged: the other lines are still good
        return content


class Journal:
    """The changes to this host that outlive a killed process, written down before they are made.

    ``JournalFolder.claimed`` makes it. Whoever changes the host records an entry, makes the change, takes
    it back and strikes the entry. Methods raise JournalError.
    """

    def __init__(self, folder: "JournalFolder", path: Path, descriptor: int) -> None:
        self._folder = folder
        self._path = path
        self._descriptor = descriptor
        content = _Content.read(descriptor)
        self._entries = content.entries
        self._void = content.void
        self._last_number = content.last_number
        os.ftruncate(descriptor, content.length_bytes)  # a torn line would swallow the next one
        self._append({"began": {"process": os.getpid(), **KernelState.current().as_dict()}})

    @property
    def entries(self) -> Mapping[int, Entry]:
        """What is not struck, by number, in the order in which it was recorded."""
        return dict(self._entries)

    def is_void(self, number: int) -> bool:
        """Whether the entry was made in a network namespace, or on a run of the machine, that is no more."""
        return number in self._void

    def record(self, kind: str, facts: Mapping[str, Json]) -> int:
        """Write an entry, which is on the disk on return; its number, for ``strike``."""
        number = self._last_number + 1
        self._append({"entry": number, "kind": kind, "facts": facts})
        self._last_number = number
        self._entries[number] = Entry(kind, facts)
        return number

    def strike(self, number: int) -> None:
        """The change of that entry was taken back."""
        self._append({"struck": number})
        self._entries.pop(number, None)

    @contextmanager
    def comparing(self) -> Iterator[list[Entry]]:
        """The entries of the other journals of this namespace, of running and killed processes alike.

        None of them comes or goes inside; not to be held across an ``await``.
        """
        with self._folder.locked() as folder:
            yield [entry for entry, _ in self._others(folder)]

    def pass_on(self, number: int) -> bool:
        """Strike the entry if a running process has an equal one, and with it the duty to take it back."""
        with self._folder.locked() as folder:
            if (self._entries[number], True) not in self._others(folder):
                return False
            self.strike(number)
            return True

    def _others(self, folder: int) -> list[tuple[Entry, bool]]:
        """Each with whether its process runs."""
        return [
            (entry, is_running)
            for content, is_running in self._folder.contents(folder, except_for=self._path.name)
            for number, entry in content.entries.items()
            if number not in content.void
        ]

    def _append(self, line: Mapping[str, Json]) -> None:
        document = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            complete = os.write(self._descriptor, document) == len(document)
            os.fdatasync(self._descriptor)
        except OSError as exc:
            raise JournalError(f"cannot write to the journal {self._path}: {exc.strerror}") from exc
        if not complete:
            raise JournalError(f"cannot write to the journal {self._path}: the disk is full")


class JournalFolder:
    """Where the journals of this host are. Methods raise JournalError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_this_host(cls) -> "JournalFolder":
        """What TUNGO_STATE_DIR names, else /run/tungo."""
        return cls(Path(os.environ.get(STATE_FOLDER_VARIABLE) or DEFAULT_STATE_FOLDER))

    @contextmanager
    def claimed(self, role: str, interface: str) -> Iterator[Journal]:
        """The journal of ``role`` (CLIENT, SERVER) and ``interface``, with what a killed process left in it.

        It is that of the network namespace of this thread. On exit the file goes away, unless something is
        left in it. Raises AnotherInstanceError while somebody else has it, of this process or another.
        """
        name = f"{role}.{interface}{_ending()}"
        with self.locked() as folder:
            descriptor = self._open(folder, name, os.O_CREAT)
            try:
                _lock_or_refuse(descriptor, role, interface)
                journal = self._begun(folder, name, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        try:
            yield journal
        finally:
            try:
                if not journal.entries:
                    with self.locked() as folder:
                        os.unlink(name, dir_fd=folder)
            finally:
                os.close(descriptor)

    def interfaces(self, role: str) -> list[str]:
        """Those that ``role`` has a journal of in the network namespace of this thread, running or killed."""
        if not self._path.exists():
            return []
        with self.locked() as folder:
            return [
                name.removeprefix(f"{role}.").removesuffix(_ending())
                for name in _names(folder)
                if name.startswith(f"{role}.")
            ]

    def states(self) -> list[JournalState]:
        """All journals of the network namespace of this thread, as they are; nothing is changed."""
        if not self._path.exists():
            return []
        with self.locked() as folder:
            return [_state(name, *content) for name, content in self._contents(folder)]

    def contents(self, folder: int, except_for: str) -> Iterator[tuple[_Content, bool]]:
        """What the journals of this namespace hold, each with whether its process runs.

        ``folder`` is from ``locked``: nobody claims one meanwhile.
        """
        return (content for name, content in self._contents(folder) if name != except_for)

    def _contents(self, folder: int) -> Iterator[tuple[str, tuple[_Content, bool]]]:
        for name in _names(folder):
            descriptor = self._open(folder, name)
            try:
                yield name, (_Content.read(descriptor), not _lock(descriptor))
            finally:
                os.close(descriptor)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """A descriptor of the folder, made if it is not there; all others wait until the exit."""
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as exc:
            kind = JournalRightsError if isinstance(exc, PermissionError) else JournalError
            raise self._unusable(os.strerror(exc.errno or 0), kind) from exc
        try:
            self._check_owner(folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)

    def _begun(self, folder: int, name: str, descriptor: int) -> Journal:
        """The journal in a file that is locked; a file that cannot be written and holds nothing goes away."""
        try:
            journal = Journal(self, self._path / name, descriptor)
            os.fsync(folder)
        except BaseException:
            if not _Content.read(descriptor).entries:
                os.unlink(name, dir_fd=folder)
            raise
        return journal

    def _open(self, folder: int, name: str, extra_flags: int = 0) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | extra_flags
        try:
            return os.open(name, flags, 0o600, dir_fd=folder)
        except OSError as exc:
            raise JournalError(f"cannot open the journal {self._path / name}: {exc.strerror}") from exc

    def _check_owner(self, folder: int) -> None:
        status = os.fstat(folder)
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
            raise self._unusable("it must belong to the user who runs this, and be writable for nobody else")

    def _unusable(self, reason: str, kind: type[JournalError] = JournalError) -> JournalError:
        return kind(
            f"cannot use the folder {self._path} for the journal of changes: {reason}; "
            f"run as root, or name another folder in {STATE_FOLDER_VARIABLE}"
        )


def _ending() -> str:
    return f".{namespace_inode()}.journal"


def _state(name: str, content: _Content, is_running: bool) -> JournalState:  # noqa: FBT001 - of ``contents``
    role, _, interface = name.removesuffix(_ending()).partition(".")
    return JournalState(
        role,
        interface,
        content.process,
        is_running,
        entries=tuple(entry for number, entry in content.entries.items() if number not in content.void),
        void=tuple(entry for number, entry in content.entries.items() if number in content.void),
    )


def _names(folder: int) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(_ending()))


def _lock(descriptor: int) -> bool:
    """Whether nobody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_or_refuse(descriptor: int, role: str, interface: str) -> None:
    if not _lock(descriptor):
        process = _Content.read(descriptor).process
        raise AnotherInstanceError(
            f"stop the other TunGo {role} of this host first: process {process} has {interface}"
        )


def _object_in(line_untrusted: bytes) -> object:
    try:
        found: object = json.loads(line_untrusted)
    except ValueError:
        return None
    return found
