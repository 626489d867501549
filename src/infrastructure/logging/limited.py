"""A log that nobody can flood."""

from typing import Final

from application.runtime.clock import Clock
from application.runtime.log import EventLog, LogValue
from domain.noise.load import TokenBucket

# Ours: two hundred clients may come back after a restart without one record missing, and who does the same
# thing all day long fills a dozen megabytes with it.
RECORDS_PER_S: Final = 1.0
BURST: Final = 200


class LimitedEventLog:
    """Passes on a bounded number of records per message; the next one that passes tells how many did not.

    Messages are fixed phrases, so that the table of budgets is as long as the program is.
    """

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._budgets: dict[str, TokenBucket] = {}
        self._suppressed: dict[str, int] = {}

    def info(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog."""
        if self._may_pass(message):
            self._log.info(message, **fields, **self._told(message))

    def warning(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog."""
        if self._may_pass(message):
            self._log.warning(message, **fields, **self._told(message))

    def error(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog."""
        if self._may_pass(message):
            self._log.error(message, **fields, **self._told(message))

    def _may_pass(self, message: str) -> bool:
        budget = self._budgets.get(message)
        if budget is None:
            budget = self._budgets[message] = TokenBucket(RECORDS_PER_S, burst=BURST)
        if budget.try_take(self._clock.monotonic_s()):
            return True
        self._suppressed[message] = self._suppressed.get(message, 0) + 1
        return False

    def _told(self, message: str) -> dict[str, LogValue]:
        count = self._suppressed.pop(message, 0)
        return {"suppressed": count} if count else {}


_: type[EventLog] = LimitedEventLog
