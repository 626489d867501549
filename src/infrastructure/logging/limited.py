"""A log that nobody can flood."""

from collections import OrderedDict
from typing import Final, TypeAlias

from application.runtime.clock import Clock
from application.runtime.log import EventLog, LogValue
from domain.noise.load import TokenBucket

# Ours: more than a person would do to one client in a minute, and who does the same thing all day long
# fills a megabyte or two with it.
RECORDS_PER_S: Final = 0.1
BURST: Final = 30

# Ours: a stranger is worth one record a minute, and a scan of the whole Internet some ten thousand a day: all
# sources together have the budget of one client, too.
STRANGER_PERIOD_S: Final = 60.0
SOURCES_REMEMBERED: Final = 1024

# What a record is about: its message and the client, if it names one.
_Subject: TypeAlias = tuple[str, LogValue | None]


class LimitedEventLog:
    """Passes on a bounded number of records per message and client; the next one tells how many did not pass.

    A record with a ``source`` is about a stranger at that address: one per minute, message and source, within
    the budget that the message has for all strangers.

    Messages are fixed phrases and clients come from the access list, so that the table of budgets is bounded,
    too, and no client can mute what is said about another.
    """

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._budgets: dict[_Subject, TokenBucket] = {}
        self._suppressed: dict[_Subject, int] = {}
        self._told_at_s: OrderedDict[tuple[str, LogValue], float] = OrderedDict()

    def info(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog."""
        subject = (message, fields.get("client_id"))
        if self._may_pass(subject, fields.get("source")):
            self._log.info(message, **fields, **self._told(subject))

    def warning(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog."""
        subject = (message, fields.get("client_id"))
        if self._may_pass(subject, fields.get("source")):
            self._log.warning(message, **fields, **self._told(subject))

    def error(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog. Errors are for the operator to act on, and pass without limit."""
        self._log.error(message, **fields)

    def _may_pass(self, subject: _Subject, source: LogValue | None) -> bool:
        now_s = self._clock.monotonic_s()
        budget = self._budgets.get(subject)
        if budget is None:
            budget = self._budgets[subject] = TokenBucket(RECORDS_PER_S, burst=BURST)
        if (source is None or self._is_news(subject[0], source, now_s)) and budget.try_take(now_s):
            if source is not None:
                self._remember(subject[0], source, now_s)
            return True
        self._suppressed[subject] = self._suppressed.get(subject, 0) + 1
        return False

    def _is_news(self, message: str, source: LogValue, now_s: float) -> bool:
        """Whether nothing of the kind was said about ``source`` for a minute."""
        told_at_s = self._told_at_s.get((message, source))
        return told_at_s is None or now_s - told_at_s >= STRANGER_PERIOD_S

    def _remember(self, message: str, source: LogValue, now_s: float) -> None:
        self._told_at_s[message, source] = now_s
        self._told_at_s.move_to_end((message, source))
        if len(self._told_at_s) > SOURCES_REMEMBERED:
            self._told_at_s.popitem(last=False)

    def _told(self, subject: _Subject) -> dict[str, LogValue]:
        count = self._suppressed.pop(subject, 0)
        return {"suppressed": count} if count else {}


_: type[EventLog] = LimitedEventLog
