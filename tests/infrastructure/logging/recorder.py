"""Catches what the ``tungo`` loggers write, rendered, for as long as a test looks."""

import logging
from types import TracebackType

from infrastructure.logging.text import TextFormatter


class Recorder(logging.Handler):
    """A handler that attaches itself to the logger ``tungo`` and keeps rendered lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(TextFormatter())

    def __enter__(self) -> "Recorder":
        logger = logging.getLogger("tungo")
        self._level_before = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logger = logging.getLogger("tungo")
        logger.setLevel(self._level_before)
        logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
