"""Lines for systemd's journal: the level before the line, as sd-daemon(3) has it, and no time of our own::

    <6>level=INFO msg="shutting down" signal=SIGTERM

The journal takes the prefix off, keeps the level as the priority of the entry, and has a clock itself.
"""

import logging
import os
from collections.abc import Mapping
from typing import Final

STREAM_VARIABLE: Final = "JOURNAL_STREAM"

# syslog(3): LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG
_PRIORITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))


class JournalFormatter(logging.Formatter):
    """What ``inner`` makes of a record, with the record's priority before it."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """See the module's description."""
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return f"<{priority}>{self._inner.format(record)}"


def is_journal(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Whether ``descriptor`` is the stream to the journal that systemd has opened for this service.

    The variable alone says nothing: it is inherited by programs whose standard error leads somewhere else
    (systemd.exec(5)).
    """
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get(STREAM_VARIABLE) == f"{status.st_dev}:{status.st_ino}"
