"""One file in place of another, and back: what becomes of resolv.conf on the disk.

What stands there, a file or a link, is never written to and is not copied either. It gets a second name, and
then a new file takes the first one. Back is one rename: content, owner, mode and the text of a link cannot
but be what they were, and a reader finds one or the other at all times::

    resolv.conf                 resolv.conf.before-tungo
    theirs                                                  before
    theirs                      theirs (the same inode)     link
    ours                        theirs                      rename
    theirs                                                  rename, back

Wherever this is interrupted, ``put_back`` ends at the last line. What counts as ours is a file that begins as
``content`` has it, even if somebody has edited it since: with our name servers it is of no use afterwards.
Anything else is theirs and stays.

In a container resolv.conf may be a mount of its own, which can be neither linked nor renamed. Then, and only
if it is a regular file, its content is replaced in place; the one that was there is in the journal.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infrastructure.pal.durable import sync_folder, write_new
from infrastructure.pal.linux.dns.content import Author, NameServer, composed
from infrastructure.pal.linux.errors import ResolverError

_MODE: Final = 0o644  # everybody asks for names
# Ours: glibc reads no more than a few lines of it.
_LARGEST_BYTES: Final = 64 * 1024

# What the kernel says of a mount of its own, and of a folder in which nothing can be written.
_NOT_REPLACEABLE: Final = frozenset({errno.EXDEV, errno.EBUSY, errno.EROFS})

_NOTHING_BEFORE: Final = "Nothing was here; `tungo client cleanup` removes this file."
_IN_JOURNAL: Final = (
    "What was here is kept in the journal of the client's changes; `tungo client cleanup` puts it back."
)


class NotReplaceableError(ResolverError):
    """The file cannot be replaced, but its content may be."""


def backup_of(path: Path) -> Path:
    """Where what stood in place of ``path`` is kept."""
    return path.with_name(f"{path.name}.before-tungo")


def author_of(path: Path) -> Author | None:
    """Which TunGo wrote the file ``path``; None if it is somebody else's, a link or not there.

    Raises ResolverError.
    """
    with _worded(path, "read"):
        return Author.of(_read(path, os.O_NOFOLLOW))


def content_of(path: Path) -> bytes:
    """What a program reads in ``path``, through a link if it is one; empty if nothing is there.

    Raises ResolverError.
    """
    with _worded(path, "read"):
        return _read(path, 0)


def stamp_of(path: Path) -> tuple[int, ...]:
    """Another one whenever somebody has written to ``path`` or put something in its place."""
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def replace(path: Path, servers: Sequence[NameServer]) -> None:
    """Let programs ask ``servers``; for ``put_back`` what is there now is kept.

    Raises NotReplaceableError if it is a regular file that ``overwrite`` may help with, ResolverError.
    """
    with _worded(path, "replace"):
        before = _read(path, 0)
        if os.path.lexists(path):
            fate = f"What was here is kept in {backup_of(path)}; `tungo client cleanup` puts it back."
            _keep(path)
        else:
            fate = _NOTHING_BEFORE
            backup_of(path).unlink(missing_ok=True)
        write_new(_new(path), composed(servers, before, fate), _MODE)
        _new(path).rename(path)
        sync_folder(path.parent)


def put_back(path: Path) -> bool:
    """Undo ``replace``, wherever it was interrupted; False if what stands there is somebody else's.

    A client that runs keeps its file. Raises ResolverError.
    """
    author = author_of(path)
    if author is not None and is_of_another_client(author):
        return False
    with _worded(path, "put back"):
        _new(path).unlink(missing_ok=True)
        if author is None and os.path.lexists(path):
            backup_of(path).unlink(missing_ok=True)
            return False
        if os.path.lexists(backup_of(path)):
            backup_of(path).rename(path)
        elif author is None:
            return False
        elif _NOTHING_BEFORE.encode() in _read(path, os.O_NOFOLLOW):
            path.unlink()
        else:
            raise ResolverError(
                f"what was in {path} before the client came is not there any more: "
                "write it anew, or restart what manages the network of this host"
            )
        return True


def overwrite(path: Path, servers: Sequence[NameServer], before: bytes) -> None:
    """As ``replace``, within the file that is there; ``before`` is its content, and nobody else keeps it.

    Raises ResolverError.
    """
    with _worded(path, "write to"):
        content = composed(servers, before, _IN_JOURNAL)
        _write_into(path, content, len(content))


def put_content_back(path: Path, before: bytes) -> bool:
    """Undo ``overwrite``; False if the content is somebody else's. Raises ResolverError."""
    with _worded(path, "write to"):
        content = _read(path, os.O_NOFOLLOW)
        if content == before:
            return True
        # Blank lines are what is left where this was interrupted.
        padded = before.ljust(len(content), b"\n")
        author = Author.of(content)
        if content != padded and (author is None or is_of_another_client(author)):
            return False
        _write_into(path, padded, len(before))
    return True


def is_of_another_client(author: Author) -> bool:
    """Whether it is a process that runs, but not this one."""
    return author.runs and author != Author.myself()


def _new(path: Path) -> Path:
    """One fixed name: what a kill leaves behind is swept up with the rest."""
    return path.with_name(f".{path.name}.tungo-new")


def _keep(path: Path) -> None:
    """Give what is in ``path`` the name of the backup, too, in place of what had it."""
    new = _new(path)
    new.unlink(missing_ok=True)
    try:
        os.link(path, new, follow_symlinks=False)
    except OSError as exc:
        if exc.errno in _NOT_REPLACEABLE and stat.S_ISREG(path.lstat().st_mode):
            raise NotReplaceableError(f"{path} cannot be replaced: {exc.strerror}") from exc
        raise
    new.rename(backup_of(path))
    new.unlink(missing_ok=True)  # rename(2) does nothing with two names of one file


def _write_into(path: Path, content: bytes, length: int) -> None:
    """Write from the beginning on, then cut off what is behind ``length``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, length)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, flags: int) -> bytes:
    """Empty for whatever is no regular file, or a link where the flags forbid one."""
    try:
        # O_NONBLOCK: nobody has to wait for the writer of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    except OSError as exc:
        if exc.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR}:
            return b""
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        content = os.pread(descriptor, _LARGEST_BYTES + 1, 0)
    finally:
        os.close(descriptor)
    if len(content) > _LARGEST_BYTES:
        raise ResolverError(f"{path} is too large to be what it should be")
    return content


@contextmanager
def _worded(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ResolverError(f"cannot {what} {path}: {exc.strerror}") from exc
