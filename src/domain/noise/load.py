"""How a server notices that it is flooded, and how much it says while it is.

Times are monotonic: a step of the wall clock must neither start nor end a challenge.
"""

from typing import Final

# Protocol specification 1.7.
LOAD_THRESHOLD: Final = 1000

# Ours. A reply costs about 25 us, so this much is a tenth of one core; it is smaller than the message it
# answers, so nobody is amplified. A thousand honest clients coming back at once are all answered within the
# second.
COOKIE_REPLIES_PER_S: Final = 4000


class LoadMonitor:
    """Counts the messages with a valid MAC1, one instance for all listeners of the process.

    The rate is the number of messages between the last two rollovers, however far apart they were, and only a
    message of a later second makes a rollover (specification 1.7): so a server that was flooded and then left
    alone challenges exactly the first second of visitors after that.
    """

    __slots__ = ("_count", "_rate", "_rollover_second")

    def __init__(self) -> None:
        self._rate = 0
        self._count = 0
        self._rollover_second = -1

    def record(self, now_s: float) -> None:
        """Count one message; comes before the question whether there is load."""
        second = int(now_s)
        if second > self._rollover_second:
            self._rate = self._count
            self._count = 0
            self._rollover_second = second
        self._count += 1

    @property
    def under_load(self) -> bool:
        """Whether to ask for cookies."""
        return self._rate > LOAD_THRESHOLD


class TokenBucket:
    """Lets ``per_second`` events happen each second on average, ``burst`` at once."""

    __slots__ = ("_burst", "_per_second", "_refilled_at_s", "_tokens")

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._refilled_at_s: float | None = None

    def try_take(self, now_s: float) -> bool:
        """Whether one more event may happen at ``now_s``; time never runs backwards here."""
        if self._refilled_at_s is not None:
            earned = max(0.0, now_s - self._refilled_at_s) * self._per_second
            self._tokens = min(float(self._burst), self._tokens + earned)
        self._refilled_at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
