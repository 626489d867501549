"""What every format shows of a record: when, how important, what, and the fields; never a secret."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from application.runtime.log import LogValue
from infrastructure.logging.secrets import presentable, without_secrets

LEVEL_NAMES: Final = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.WARNING: "WARN",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "ERROR",
}

# The attribute of a LogRecord that carries the fields of an EventLog call.
FIELDS_ATTRIBUTE: Final = "tungo_fields"

# A peer can choose some values (names, reasons); a kilobyte tells a human enough. Where several of them make
# a line too long, each gets less, and none is lost as a whole.
LONGEST_VALUE_CHARACTERS: Final = 1000
_SHORTER: Final = (LONGEST_VALUE_CHARACTERS, 300, 100, 30, 0)

# Linux: what a pipe that polls as writable takes at once (PIPE_BUF, pipe(7)). 16 bytes are for line ends and
# what is put before a line.
LONGEST_LINE_BYTES: Final = 4096 - 16

_QUOTE_AND_BACKSLASH: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})
_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. ``level`` is DEBUG, INFO, WARN or ERROR; texts are as they came, to be escaped."""

    time: datetime  # with the local zone
    level: str
    message: str
    fields: Mapping[str, LogValue]

    @classmethod
    def of(cls, record: logging.LogRecord) -> "Entry":
        """The entry of a record of an EventLog or, without fields, of any library.

        An exception is named in ``err``; at debug level its traceback is in ``trace``.
        """
        fields: dict[str, LogValue] = {}
        given: object = getattr(record, FIELDS_ATTRIBUTE, None)
        if isinstance(given, Mapping):
            fields.update((without_secrets(str(key)), presentable(value)) for key, value in given.items())
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["err"] = without_secrets(f"{type(error).__name__}: {error}")
            if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
                fields["trace"] = without_secrets(logging.Formatter().formatException(record.exc_info))
        return cls(
            time=datetime.fromtimestamp(record.created).astimezone(),
            level=LEVEL_NAMES.get(record.levelno, "DEBUG"),
            message=without_secrets(record.getMessage()),
            fields=fields,
        )


def fitting(render: Callable[[int], str]) -> str:
    """What ``render`` makes of values with at most so many characters, as many as fit on a line."""
    line = ""
    for longest in _SHORTER:
        line = render(longest)
        if len(line.encode("utf-8", "backslashreplace")) <= LONGEST_LINE_BYTES:
            break
    return line


def shortened(text: str, longest: int) -> str:
    """``text``, or its first ``longest`` characters and an ellipsis."""
    return text if len(text) <= longest else text[:longest] + "..."


def quoted(text: str) -> str:
    """``text`` in quotes, with escapes for quotes, backslashes and what does not print."""
    return f'"{printable(text.translate(_QUOTE_AND_BACKSLASH))}"'


def printable(text: str) -> str:
    """``text`` with escapes for what does not print."""
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")
