"""Replacing a file so that readers and a power cut meet the old text or the new one, never a mixture.

Errors are OSError as the kernel gives them: ``files.worded`` words them.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infrastructure.pal.durable import sync_folder, write_new

FILE_MODE: Final = 0o600  # private keys are inside
FOLDER_MODE: Final = 0o700

# Ours. A change takes milliseconds, so a lock that is held for longer is held by a process that was stopped.
LOCK_TIMEOUT_S: Final = 10.0
LOCK_RETRY_S: Final = 0.02


class LockTimeoutError(OSError):
    """Somebody else has held the lock for all of ``LOCK_TIMEOUT_S``."""


@contextlib.contextmanager
def exclusive_lock(path: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock that belongs to ``path`` against other processes and threads.

    The lock file stays behind: who deletes it while somebody waits for it makes two locks of one. Raises
    LockTimeoutError, OSError.
    """
    lock_path = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        deadline_s = time.monotonic() + timeout_s
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline_s:
                raise LockTimeoutError(f"{lock_path} is held by another process")
            time.sleep(LOCK_RETRY_S)
        yield
    finally:
        os.close(descriptor)  # which gives the lock back


def replace_file(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``, for its owner alone; call it under ``exclusive_lock``.

    On an OSError the old file is still there, whole; if only the last step failed, the new one is.
    """
    # One fixed name, since there is one writer: what a crash leaves behind is swept up here.
    temporary = path.with_name(f".{path.name}.new")
    try:
        write_new(temporary, data, FILE_MODE)
        os.replace(temporary, path)  # noqa: PTH105 - named like the call that it is
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def backup_of(path: Path) -> Path:
    """Where the last good content of ``path`` is kept."""
    return path.with_name(f"{path.name}.bak")


def close_to_others(path: Path) -> None:
    """Take from group and others what rights they have to ``path``; the March program granted some."""
    if path.stat().st_mode & 0o077:
        path.chmod(FILE_MODE)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
