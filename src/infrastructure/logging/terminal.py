"""One record, one line for somebody who sits in front of it::

    12:00:00 INFO  tunnel is up  interface=c_udptun0 protocol=UDP

The level is coloured and what repeats itself is dim. What varies is escaped as in the text format, and so
cannot colour anything or move the cursor.
"""

import logging
from collections.abc import Mapping
from typing import Final

from infrastructure.logging.entry import Entry, fitting, printable, shortened
from infrastructure.logging.text import render_value

# Select graphic rendition (ECMA-48 8.3.117).
_DIM: Final = "2"
_COLOUR_OF: Final = {"DEBUG": "36", "INFO": "32", "WARN": "33", "ERROR": "1;31"}

_LEVEL_COLUMNS: Final = 5


class TerminalFormatter(logging.Formatter):
    """Renders a record as one line without its end, with colours or without."""

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """See the module's description."""
        entry = Entry.of(record)
        return fitting(lambda longest: self._line(entry, longest))

    def _line(self, entry: Entry, longest: int) -> str:
        level = self._painted(entry.level.ljust(_LEVEL_COLUMNS), _COLOUR_OF[entry.level])
        time = self._painted(f"{entry.time:%H:%M:%S}", _DIM)
        line = f"{time} {level} {printable(shortened(entry.message, longest))}"
        fields = [
            self._painted(f"{render_value(key)}=", _DIM) + render_value(value, longest)
            for key, value in entry.fields.items()
        ]
        return f"{line}  {' '.join(fields)}" if fields else line

    def _painted(self, text: str, rendition: str) -> str:
        return f"\x1b[{rendition}m{text}\x1b[0m" if self._coloured else text


def shows_colours(environment: Mapping[str, str]) -> bool:
    """Whether the terminal can show colours and its user wants them (no-color.org)."""
    return not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"
