"""How long a client waits before it tries again.

The Go program waits a fixed 500 ms for ever; a thousand clients of a restarted server would then
arrive together, again and again. Ours starts there and doubles, with jitter (design: reconnect).
"""

from typing import Final

# Ours: the first pause is the Go program's, so that a server which sees the old connection close first
# (specification 8.1) still does; the last keeps a laptop with a dead server below two attempts a minute.
FIRST_DELAY_S: Final = 0.5
LAST_DELAY_S: Final = 30.0

# A session that lived this long ended for a new reason: the next failure starts at the first pause again.
HEALTHY_AFTER_S: Final = 30.0


class ReconnectBackoff:
    """Exponential back-off with full-range jitter over the upper half of each step."""

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
