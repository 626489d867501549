"""An event log that remembers."""

from typing import NamedTuple

from application.runtime.log import EventLog, LogValue


class LoggedEvent(NamedTuple):
    """One call of an EventLog."""

    level: str
    message: str
    fields: dict[str, LogValue]


class RememberingLog:
    """Keeps every record, in order, for a test to look at."""

    def __init__(self) -> None:
        self.events: list[LoggedEvent] = []

    def info(self, message: str, /, **fields: LogValue) -> None:
        """Keep an ``info`` record."""
        self.events.append(LoggedEvent("info", message, fields))

    def warning(self, message: str, /, **fields: LogValue) -> None:
        """Keep a ``warning`` record."""
        self.events.append(LoggedEvent("warning", message, fields))

    def error(self, message: str, /, **fields: LogValue) -> None:
        """Keep an ``error`` record."""
        self.events.append(LoggedEvent("error", message, fields))

    @property
    def messages(self) -> list[str]:
        """The messages alone, in order."""
        return [event.message for event in self.events]


_: type[EventLog] = RememberingLog
