"""One record, one JSON object on a line of its own, for programs that read logs::

    {"time": "2025-01-31T12:00:00.000+01:00", "level": "INFO", "msg": "shutting down", "signal": "SIGTERM"}

Everything but printable ASCII is escaped, as JSON allows: a line is whole and harmless in any encoding.
"""

import json
import logging
import math

from application.runtime.log import LogValue
from infrastructure.logging.entry import Entry, fitting, shortened


class JsonFormatter(logging.Formatter):
    """Renders a record as one line without its end."""

    def format(self, record: logging.LogRecord) -> str:
        """See the module's description."""
        entry = Entry.of(record)
        return fitting(lambda longest: _line(entry, longest))


def _line(entry: Entry, longest: int) -> str:
    own: dict[str, LogValue] = {
        "time": entry.time.isoformat(timespec="milliseconds"),
        "level": entry.level,
        "msg": shortened(entry.message, longest),
    }
    # No field is called like one of these three; if it were, it must not pass for it.
    fields = {key: _value(value, longest) for key, value in entry.fields.items()}
    return json.dumps(own | fields | own, ensure_ascii=True, allow_nan=False)


def _value(value: LogValue, longest: int) -> LogValue:
    if isinstance(value, str):
        return shortened(value, longest)
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else str(value)  # JSON has no infinity
    return value
