"""How long a client waits before it tries again.

The Go program waits a fixed 500 ms for ever; a thousand clients of a restarted server would then
arrive together, again and again. Ours grow, with jitter.
"""

from typing import Final

# Ours. No pause is shorter than the Go program's 0.5 s, so that a server which sees the old connection close
# first (specification 8.1) still does; the longest keep a laptop with a dead server at two to four attempts a
# minute.
FIRST_DELAY_S: Final = 1.0
LAST_DELAY_S: Final = 30.0

# A session that lived this long ended for a new reason: the next failure starts at the first pause again.
HEALTHY_AFTER_S: Final = 30.0


class ReconnectBackoff:
    """Exponential back-off; jitter takes up to half off each step, so that the pauses are 0.5 to 30 s."""

    __slots__ = ("_step_s",)

    def __init__(self) -> None:
        self._step_s = FIRST_DELAY_S

    def next_delay_s(self, jitter: float) -> float:
        """Seconds to wait before the next attempt; doubles the step.

        ``jitter`` is uniform in [0, 1): 0 gives half the step, 1 the whole.
        """
        delay_s = self._step_s * (0.5 + jitter / 2)
        self._step_s = min(self._step_s * 2, LAST_DELAY_S)
        return delay_s

    def session_ended(self, lived_s: float) -> None:
        """Start again from the first step if the session had lived."""
        if lived_s >= HEALTHY_AFTER_S:
            self._step_s = FIRST_DELAY_S
