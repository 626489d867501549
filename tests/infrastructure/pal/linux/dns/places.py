"""A folder like /etc, with all that may stand for resolv.conf in it, and programs that record their calls."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from infrastructure.pal.linux.dns.content import NameServer

THEIRS: Final = b"# by hand\nsearch example.org lan\nnameserver 192.0.2.53\noptions edns0 trust-ad ndots:2\n"
SERVERS: Final[Sequence[NameServer]] = (ip_address("10.0.1.1"), ip_address("fd00:1::1"))
OUR_LINES: Final = [
    "nameserver 10.0.1.1",
    "nameserver fd00:1::1",
    "search example.org lan",
    "options edns0 ndots:2",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder, with all that there is to be restored of it."""

    inode: int
    mode: int
    owner: tuple[int, int]
    modified_ns: int
    content: bytes


def plain_file(folder: Path) -> None:
    """With rights of its own."""
    path = folder / "resolv.conf"
    path.write_bytes(THEIRS)
    path.chmod(0o640)


def link(folder: Path) -> None:
    """To a file of a program that goes on writing to it."""
    target = folder / "run" / "stub-resolv.conf"
    target.parent.mkdir()
    target.write_bytes(THEIRS)
    (folder / "resolv.conf").symlink_to("./run/../run/stub-resolv.conf")


def dangling_link(folder: Path) -> None:
    """To a file that comes later, or never."""
    (folder / "resolv.conf").symlink_to("../run/nowhere.conf")


def nothing(folder: Path) -> None:
    """glibc then asks a name server on this host."""


SHAPES: Final[Sequence[Callable[[Path], None]]] = (plain_file, link, dangling_link, nothing)


def state_of(folder: Path) -> dict[str, Entry]:
    """Everything below ``folder``, by its path."""
    return {
        str(path.relative_to(folder)): _entry_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def _entry_of(path: Path) -> Entry:
    found = path.lstat()
    content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    return Entry(found.st_ino, found.st_mode, (found.st_uid, found.st_gid), found.st_mtime_ns, content)


def lines_of(path: Path) -> list[str]:
    """Without the comments."""
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


class Programs:
    """A folder of programs that write down how they are called, for a PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / ".calls"

    def add(self, name: str, script: str = "") -> None:
        """A program that goes on with ``script`` (sh) after writing down its name, arguments and input."""
        path = self.folder / name
        path.write_text(
            f'#!/bin/sh\n{{ printf "%s" "{name}"; printf " %s" "$@"; echo; }} >> "{self._record}"\n{script}\n'
        )
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The command lines so far."""
        return self._record.read_text().splitlines() if self._record.exists() else []
