"""Writing files so that what is there after a power cut is whole.

Errors are OSError as the kernel gives them.
"""

import os
from pathlib import Path


def write_new(path: Path, data: bytes, mode: int) -> None:
    """A new file with ``data`` and ``mode``, in place of one that a crash may have left; on the disk at once.

    Nobody finds it before it is renamed: ``path`` is a name that belongs to the caller.
    """
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # a umask may have taken bits of the owner's
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Without this a rename in ``folder`` may be lost in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
