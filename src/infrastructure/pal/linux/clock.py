"""The clocks of a Linux host."""

import time

from application.runtime.clock import Clock


class SystemClock:
    """CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_REALTIME."""

    def monotonic_s(self) -> float:
        """See Clock."""
        return time.monotonic()

    def boottime_s(self) -> float:
        """See Clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def unix_s(self) -> int:
        """See Clock."""
        return int(time.time())


_: type[Clock] = SystemClock
