"""One record, one line: ``time=... level=INFO msg="..." key=value`` (platform specification 15).

A value is quoted when it is empty or holds a blank, a quote, a backslash, an equals sign or what does
not print; inside quotes, whatever does not print is escaped. No record can therefore end its line early,
start another one, or move the cursor of the terminal that shows it.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from application.runtime.log import EventLog, LogValue

LEVEL_NAMES: Final = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.WARNING: "WARN",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "ERROR",
}

# A peer can choose some values (names, reasons); a kilobyte tells a human enough.
LONGEST_VALUE_CHARACTERS: Final = 1000

# The attribute of a LogRecord that carries the fields of an EventLog call.
_FIELDS_ATTRIBUTE: Final = "tungo_fields"

_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def render_value(value: object) -> str:
    """``value`` as it stands after ``key=``: bare where that is unambiguous, quoted and escaped elsewhere."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(round(value, 3))
    text = str(value)
    if len(text) > LONGEST_VALUE_CHARACTERS:
        text = text[:LONGEST_VALUE_CHARACTERS] + "..."
    if text and text.isprintable() and not any(character in text for character in ' "\\='):
        return text
    return '"' + "".join(_escape(character) for character in text) + '"'


def _escape(character: str) -> str:
    short = _SHORT_ESCAPES.get(character)
    if short is not None:
        return short
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class TextFormatter(logging.Formatter):
    """Renders records of ``TextEventLog`` and, without fields, those of any library."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without its end; an exception is named in ``err``, its traceback escaped in ``trace``."""
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        level = LEVEL_NAMES.get(record.levelno, "DEBUG")
        parts = [f"time={time}", f"level={level}", f"msg={render_value(record.getMessage())}"]
        fields: object = getattr(record, _FIELDS_ATTRIBUTE, None)
        if isinstance(fields, Mapping):
            parts.extend(f"{render_value(key)}={render_value(value)}" for key, value in fields.items())
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            parts.append(f"err={render_value(f'{type(error).__name__}: {error}')}")
            if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
                parts.append(f"trace={render_value(self.formatException(record.exc_info))}")
        return " ".join(parts)


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
        self._logger.log(level, "%s", message, extra={_FIELDS_ATTRIBUTE: fields})


_: type[EventLog] = TextEventLog
