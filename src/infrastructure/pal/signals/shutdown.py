"""SIGINT, SIGTERM and SIGHUP as a request to shut down (platform specification 14).

Laws

- The first signal cancels the task; cancellation is shutdown, and its end is success.
- The second one is logged and changes nothing: a nervous second Ctrl-C must not leave routes behind.
- The third one ends the process at once, whatever it is doing, without cleanup.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Final

from application.runtime.log import EventLog

SHUTDOWN_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What a shell reports for a program that a signal has ended: 128 and the signal's number.
SIGNALLED_STATUS_BASE: Final = 128


class _Shutdown:
    """Counts the signals of one process and acts on each according to the laws above."""

    __slots__ = ("_log", "_loop", "_task", "cancelled", "left", "requests")

    def __init__(self, log: EventLog, loop: asyncio.AbstractEventLoop, task: asyncio.Task[object]) -> None:
        self._log = log
        self._loop = loop
        self._task = task
        self.requests = 0
        self.cancelled = False
        self.left = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        self.requests += 1
        name = signal.Signals(number).name
        if self.requests == 1:
            self._log.info("shutting down", signal=name)
            # Threadsafe, because only that wakes a loop that is waiting for its descriptors.
            self._loop.call_soon_threadsafe(self._cancel)
        elif self.requests == 2:
            self._log.warning(
                "shutdown is already running; one more signal ends it without cleanup", signal=name
            )
        else:
            self._log.error("ended without cleanup; the next start cleans up", signal=name)
            os._exit(SIGNALLED_STATUS_BASE + number)

    def _cancel(self) -> None:
        if not self.left:
            self.cancelled = True
            self._task.cancel()


@asynccontextmanager
async def cancelled_by_signals(log: EventLog) -> AsyncIterator[None]:
    """Cancel the body on the first shutdown signal and leave normally when it has ended.

    Enter it in the main thread, around everything that has to be cleaned up. An error that the body raises
    while it shuts down leaves as it is, and so does a cancellation that did not come from a signal. SIGHUP
    stays ignored where the process was started so (nohup). Without a signal the previous handlers are put
    back; after one, the handlers stay until the process ends, so that the laws hold to the last.

    Raises RuntimeError outside of a task.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("cancelled_by_signals needs a task to cancel")
    shutdown = _Shutdown(log, asyncio.get_running_loop(), task)
    caught = [number for number in SHUTDOWN_SIGNALS if not _ignored_by_parent(number)]
    previous = {number: signal.signal(number, shutdown.handle) for number in caught}
    try:
        yield
    except asyncio.CancelledError:
        # uncancel() tells whether somebody else has asked for the cancellation, too.
        if not shutdown.cancelled or task.uncancel() > 0:
            raise
    else:
        if shutdown.cancelled:
            task.uncancel()
    finally:
        shutdown.left = True
        if shutdown.requests == 0:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _ignored_by_parent(number: signal.Signals) -> bool:
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
