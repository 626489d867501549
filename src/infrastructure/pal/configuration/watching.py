"""Noticing that a configuration file has changed."""

import asyncio
from pathlib import Path
from typing import Final, TypeAlias

from application.runtime.configuration import ConfigurationChanges

# Ours: one look per second costs a server nothing, works on every file system, and a person who disables a
# peer does not wait.
LOOK_INTERVAL_S: Final = 1.0

# What tells two states of a file apart: inode, size, time of change; None while there is no file.
_State: TypeAlias = tuple[int, int, int] | None


class PolledFile:
    """Looks at a file again and again; replacing it by renaming another is a change like any other."""

    def __init__(self, path: Path, look_interval_s: float = LOOK_INTERVAL_S) -> None:
        self._path = path
        self._look_interval_s = look_interval_s
        self._known = self._look()

    async def wait(self) -> None:
        """See ConfigurationChanges."""
        while (state := self._look()) == self._known:  # noqa: ASYNC110 - files raise no events of their own
            await asyncio.sleep(self._look_interval_s)
        self._known = state

    def _look(self) -> _State:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns


_: type[ConfigurationChanges] = PolledFile
