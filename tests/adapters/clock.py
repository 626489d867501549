"""A clock that stands still until the test moves it."""

from application.runtime.clock import Clock


class FakeClock:
    """Starts at ``now_s`` on all three clocks; ``suspend`` moves the boot-time clock alone."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self.now_s = now_s
        self.suspended_s = 0.0

    def advance(self, seconds: float) -> float:
        """Let time pass; returns the new monotonic time."""
        self.now_s += seconds
        return self.now_s

    def suspend(self, seconds: float) -> None:
        """Let the host sleep."""
        self.suspended_s += seconds

    def monotonic_s(self) -> float:
        return self.now_s

    def boottime_s(self) -> float:
        return self.now_s + self.suspended_s

    def unix_s(self) -> int:
        return 1_700_000_000 + int(self.boottime_s())


_: type[Clock] = FakeClock
