"""One record, one line: ``time=... level=INFO msg="..." key=value`` (platform specification 15).

A value is quoted when it is empty or holds a blank, a quote, a backslash, an equals sign or what does
not print; inside quotes, whatever does not print is escaped. No record can therefore end its line early,
start another one, or move the cursor of the terminal that shows it.
"""

import logging
from collections.abc import Iterator, Mapping

from application.runtime.log import EventLog, LogValue
from infrastructure.logging.entry import (
    FIELDS_ATTRIBUTE,
    LONGEST_VALUE_CHARACTERS,
    Entry,
    fitting,
    quoted,
    shortened,
)


def render_value(value: LogValue, longest: int = LONGEST_VALUE_CHARACTERS) -> str:
    """``value`` as it stands after ``key=``: bare where that is unambiguous, quoted and escaped elsewhere."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(round(value, 3))
    text = shortened(str(value), longest)
    if text and text.isprintable() and not any(character in text for character in ' "\\='):
        return text
    return quoted(text)


class TextFormatter(logging.Formatter):
    """Renders a record as one line without its end, with its time or without."""

    def __init__(self, *, timed: bool = True) -> None:
        super().__init__()
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        """See the module's description."""
        entry = Entry.of(record)
        return fitting(lambda longest: " ".join(self._parts(entry, longest)))

    def _parts(self, entry: Entry, longest: int) -> Iterator[str]:
        if self._timed:
            yield f"time={entry.time.isoformat(timespec='milliseconds')}"
        yield f"level={entry.level}"
        yield f"msg={render_value(entry.message, longest)}"
        for key, value in entry.fields.items():
            yield f"{render_value(key)}={render_value(value, longest)}"


class TextEventLog:
    """The event log of one part of the program, on top of ``logging``."""

    __slots__ = ("_logger",)

    def __init__(self, name: str = "tungo") -> None:
        """``name`` is ``tungo`` or begins with ``tungo.``: the level of ``setup_logging`` applies there."""
        self._logger = logging.getLogger(name)

    def info(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog.info."""
        self._record(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog.warning."""
        self._record(logging.WARNING, message, fields)

    def error(self, message: str, /, **fields: LogValue) -> None:
        """See EventLog.error."""
        self._record(logging.ERROR, message, fields)

    def _record(self, level: int, message: str, fields: Mapping[str, LogValue]) -> None:
        # The message is an argument, not the format: a per cent sign in it stays what it is.
        self._logger.log(level, "%s", message, extra={FIELDS_ATTRIBUTE: fields})


_: type[EventLog] = TextEventLog
