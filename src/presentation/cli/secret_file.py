"""A file for a private key: readable by its owner alone, and never in the place of another one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from presentation.cli.commands import CommandError, ExitStatus


@contextmanager
def reserved_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Create ``path`` (mode 0600) and yield the function that writes its whole content.

    The file is reserved before the body runs, so that nothing is generated that could then not be stored. If
    the body fails, the file is removed. Raises CommandError when the file exists already, cannot be made or
    cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise CommandError(f"{path} exists already; remove it or choose another name") from error
    except OSError as error:
        status = ExitStatus.NO_RIGHTS if isinstance(error, PermissionError) else ExitStatus.FAILURE
        raise CommandError(f"{path} cannot be created: {error.strerror}", status) from error

    def write(content: str) -> None:
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", closefd=False) as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}") from error

    try:
        # The umask may have taken bits away from the owner, too.
        os.fchmod(descriptor, 0o600)
        yield write
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)
