"""Standard error as the one sink of the log, and what happens when nobody reads it.

A tunnel must outlive its terminal: a closed or stalled standard error costs log lines and nothing else, where
dying of SIGPIPE would leave an interface and routes behind (platform specification 14).
"""

import logging
import os
import select
import sys
from collections.abc import Mapping
from typing import Final

from application.runtime.log import LogFormat, LogLevel
from infrastructure.logging.entry import FIELDS_ATTRIBUTE
from infrastructure.logging.journald import JournalFormatter, is_journal
from infrastructure.logging.json_lines import JsonFormatter
from infrastructure.logging.terminal import TerminalFormatter, shows_colours
from infrastructure.logging.text import TextFormatter

# A pipe that polls as writable takes PIPE_BUF bytes at once (pipe(7)); a longer line could block the loop.
LINE_BYTES: Final = select.PIPE_BUF

_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


class DescriptorHandler(logging.Handler):
    """Writes each record with one system call, and drops it if that could block or fails.

    The descriptor is written to directly: a stream that cannot be flushed at exit turns status 0 into 120.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poller = select.poll()
        self._poller.register(descriptor, select.POLLOUT)
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Records lost since the last one that was written."""
        return self._dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record``, after a line that counts what was dropped before it."""
        try:
            line = _bounded(self.format(record))
            if not self._poller.poll(0):
                self._dropped += 1
                return
            if self._dropped and os.write(self._descriptor, self._loss_report()):
                self._dropped = 0
                if not self._poller.poll(0):
                    self._dropped += 1
                    return
            os.write(self._descriptor, line)
        except (OSError, ValueError):
            self._dropped += 1

    def _loss_report(self) -> bytes:
        report = logging.LogRecord(
            "tungo", logging.WARNING, __file__, 0, "log lines were lost: nobody read them", None, None
        )
        setattr(report, FIELDS_ATTRIBUTE, {"lines": self._dropped})
        return _bounded(self.format(report))


def _bounded(text: str) -> bytes:
    line = text.encode("utf-8", "backslashreplace")
    if len(line) >= LINE_BYTES:
        # Cutting may halve a character; the lenient decoding drops the half.
        line = line[: LINE_BYTES - 4].decode("utf-8", "ignore").encode() + b"..."
    return line + b"\n"


def formatter_for(
    log_format: LogFormat, descriptor: int, environment: Mapping[str, str]
) -> logging.Formatter:
    """What renders records for whoever reads ``descriptor``.

    LogFormat.AUTO suits the reader: systemd's journal, a person at a terminal, or else whatever reads text.
    The journal is told the level of every record in any format.
    """
    journal = is_journal(descriptor, environment)
    formatter: logging.Formatter
    match log_format:
        case LogFormat.JSON:
            formatter = JsonFormatter()
        case LogFormat.TEXT:
            formatter = TextFormatter()
        case LogFormat.AUTO if os.isatty(descriptor):
            formatter = TerminalFormatter(coloured=shows_colours(environment))
        case LogFormat.AUTO:
            formatter = TextFormatter(timed=not journal)
    return JournalFormatter(formatter) if journal else formatter


def setup_logging(level: LogLevel, log_format: LogFormat = LogFormat.AUTO) -> None:
    """Send every log record of this process to standard error, replacing what was set up before.

    ``level`` applies to the ``tungo`` loggers; libraries speak up from WARNING on. A process that was
    started without standard error logs nothing: its descriptor 2 may by now be something else.
    """
    handler: logging.Handler = logging.NullHandler()
    if sys.__stderr__ is not None:
        descriptor = sys.__stderr__.fileno()
        handler = DescriptorHandler(descriptor)
        handler.setFormatter(formatter_for(log_format, descriptor, os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tungo").setLevel(_LEVELS[level])
