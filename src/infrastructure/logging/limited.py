"""A log that nobody can flood."""

from typing import Final, TypeAlias

from application.runtime.clock import Clock
from application.runtime.log import EventLog, LogValue
from domain.noise.load import TokenBucket

# Ours: more than a person would do to one client in a minute, and who does the same thing all day long
# fills a megabyte or two with it.
RECORDS_PER_S: Final = 0.1
BURST: Final = 20

# What a record is about: its message and the client, if it names one.
_Subject: TypeAlias = tuple[str, LogValue | None]


class LimitedEventLog:
    """Passes on a bounded number of records per message and client; the next one tells how many did not pass.

    Messages are fixed phrases and clients come from the access list, so that the table of budgets is bounded,
    too, and no client can mute what is said about another.
    """

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._budgets: dict[_Subject, TokenBucket] = {}
        self._suppressed: dict[_Subject, int] = {}

    def info(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog."""
        subject = (message, fields.get("client_id"))
        if self._may_pass(subject):
            self._log.info(message, **fields, **self._told(subject))

    def warning(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog."""
        subject = (message, fields.get("client_id"))
        if self._may_pass(subject):
            self._log.warning(message, **fields, **self._told(subject))

    def error(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog. Errors are for the operator to act on, and pass without limit."""
        self._log.error(message, **fields)

    def _may_pass(self, subject: _Subject) -> bool:
        budget = self._budgets.get(subject)
        if budget is None:
            budget = self._budgets[subject] = TokenBucket(RECORDS_PER_S, burst=BURST)
        if budget.try_take(self._clock.monotonic_s()):
            return True
        self._suppressed[subject] = self._suppressed.get(subject, 0) + 1
        return False

    def _told(self, subject: _Subject) -> dict[str, LogValue]:
        count = self._suppressed.pop(subject, 0)
        return {"suppressed": count} if count else {}


_: type[EventLog] = LimitedEventLog
