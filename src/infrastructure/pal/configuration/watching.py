"""Noticing that a configuration file has changed.

The kernel tells that something happened in a folder; whether it happened to the file shows in the file
itself. The folder is watched and never the file: renaming another file over it would leave a watch on the old
one behind.
"""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypeAlias

from watchfiles import awatch

from application.runtime.configuration import ConfigurationChanges
from application.runtime.log import EventLog

# Platform specification 10: a look now and then, for file systems whose changes this kernel does not see.
LOOK_INTERVAL_S: Final = 30.0

# Ours: the interval where nothing tells of changes. A look costs microseconds, and a person who disables a
# peer does not wait.
UNTOLD_LOOK_INTERVAL_S: Final = 1.0

# Ours. A change counts once the file has been left alone for this long: who truncates a file and then writes
# it is not met in between, and two changes within one tick of the file system's clock look like one. The
# thread that waits for the kernel asks this often whether to end, which bounds the time of a shutdown.
QUIET_S: Final = 0.04
LONGEST_UNREST_S: Final = 1.0

# What tells two states of a file apart: inode, size, time of change (of its rights as well: they may have
# been why it could not be read); None while there is no file.
_State: TypeAlias = tuple[int, int, int] | None


class WatchedFile:
    """A file, wherever symbolic links lead to it, and the folders in which it changes.

    Where folders cannot be watched, which is logged once, the file is looked at every
    ``untold_look_interval_s``.
    """

    def __init__(
        self,
        path: Path,
        log: EventLog,
        look_interval_s: float = LOOK_INTERVAL_S,
        untold_look_interval_s: float = UNTOLD_LOOK_INTERVAL_S,
    ) -> None:
        self._path = path
        self._log = log
        self._look_interval_s = look_interval_s
        self._untold_look_interval_s = untold_look_interval_s
        self._has_told = False
        self._known = self._look()

    async def wait(self) -> None:
        """See ConfigurationChanges."""
        left_alone = False
        while self._look() == self._known:
            async with asyncio.TaskGroup() as group:
                hint = group.create_task(self._hint())
                # Its first step begins to watch: what happens before that is for this look, and later for it.
                await asyncio.sleep(0)
                if self._look() != self._known:
                    hint.cancel()
            left_alone = not hint.cancelled() and hint.result()
        self._known = self._look() if left_alone else await self._settled()

    async def _hint(self) -> bool:
        """Return when it is time for a look: True if there was something to see, and then nothing more."""
        try:
            async with aclosing(
                awatch(
                    *self._folders(),
                    watch_filter=None,
                    debounce=round(LONGEST_UNREST_S * 1000),
                    step=round(QUIET_S * 1000),
                    rust_timeout=round(self._look_interval_s * 1000),
                    yield_on_timeout=True,
                    recursive=False,
                )
            ) as happenings:
                return bool(await anext(happenings))
        except FileNotFoundError:  # there is not even a folder
            await asyncio.sleep(self._untold_look_interval_s)
        except (OSError, RuntimeError) as exc:  # of inotify's limits one is of this kind, one of that
            self._tell(exc)
            await asyncio.sleep(self._untold_look_interval_s)
        return False

    async def _settled(self) -> _State:
        """What the file looks like as soon as it has been left alone."""
        state = self._look()
        for _ in range(round(LONGEST_UNREST_S / QUIET_S)):
            await asyncio.sleep(QUIET_S)
            before, state = state, self._look()
            if state == before:
                break
        return state

    def _folders(self) -> set[Path]:
        """Where the name stands and where the file is; a link between the two is seen at the next look."""
        return {Path(os.path.realpath(self._path.parent)), Path(os.path.realpath(self._path)).parent}

    def _look(self) -> _State:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_ctime_ns

    def _tell(self, exc: Exception) -> None:
        if not self._has_told:
            self._has_told = True
            self._log.warning(
                "the folder of the configuration cannot be watched, so the file is looked at now and then",
                path=str(self._path),
                interval_s=self._untold_look_interval_s,
                reason=str(exc),
            )


_: type[ConfigurationChanges] = WatchedFile
