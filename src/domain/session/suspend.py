"""Noticing that the host has slept (platform specification 21).

Two clocks tell: one goes on during suspend, the other stands still. Comparing them is immune to changes of
the wall clock, which the Go program mistakes for sleep.
"""

from typing import Final

# The Go program's tolerance. Shorter sleeps are shorter than the liveness timers, too.
TOLERANCE_S: Final = 1.0


class SuspendWatch:
    """Compares the clocks since it was made. Times are seconds on the two clocks."""

    __slots__ = ("_difference_s",)

    def __init__(self, *, monotonic_s: float, boottime_s: float) -> None:
        self._difference_s = boottime_s - monotonic_s

    def has_slept(self, *, monotonic_s: float, boottime_s: float) -> bool:
        """Whether the host was suspended for longer than the tolerance since the watch was made."""
        return boottime_s - monotonic_s - self._difference_s > TOLERANCE_S
