"""Time, as a port."""

from typing import Protocol


class Clock(Protocol):
    """The clocks of the host."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps and stands still during suspend."""
        ...

    def boottime_s(self) -> float:
        """Seconds on a clock that never steps and goes on during suspend."""
        ...

    def unix_s(self) -> int:
        """Whole seconds since 1970; may step. Only cookie buckets and log lines may use it."""
        ...
