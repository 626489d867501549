"""A deadline as a descriptor: readable when the time has come.

The interpreter has a function for it (``os.timerfd_create``) from 3.13 on; until then the C library is asked.
"""

import ctypes
import os
import time
from typing import Final

# timerfd_create(2): its flags are those of open(2).
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_NANOSECONDS: Final = 1_000_000_000


class Alarm:
    """A timer on the monotonic clock, to be watched for readability.

    Raises OSError if the process has too many descriptors.
    """

    __slots__ = ("_descriptor", "_library")

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._library.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS)
        if self._descriptor < 0:
            raise _last_error()

    def fileno(self) -> int:
        """-1 after close."""
        return self._descriptor

    def set(self, delay_s: float | None) -> None:
        """Be readable from ``delay_s`` from now on, at the earliest at once; never if None.

        What was set before no longer counts. Raises OSError.
        """
        # A value of zero would turn the timer off.
        nanoseconds = 0 if delay_s is None else max(1, int(delay_s * _NANOSECONDS))
        # struct itimerspec: interval (none), value; each is seconds and nanoseconds.
        setting = (ctypes.c_long * 4)(0, 0, *divmod(nanoseconds, _NANOSECONDS))
        if self._library.timerfd_settime(self._descriptor, 0, ctypes.byref(setting), None) != 0:
            raise _last_error()

    def close(self) -> None:
        """A second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
