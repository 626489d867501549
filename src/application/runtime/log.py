"""What happened, for the operator to read: a port."""

from enum import StrEnum
from typing import Protocol, TypeAlias

LogValue: TypeAlias = str | int | float


class LogLevel(StrEnum):
    """The least important record that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How records look."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class EventLog(Protocol):
    """Records of the control plane; the data plane counts and never logs.

    ``message`` is a fixed phrase, and what varies goes into ``fields``: an adapter escapes both, so that
    nothing a peer sent can forge a record. Keys, cookies and packets never go in. No call blocks or raises.
    """

    def info(self, message: str, /, **fields: LogValue) -> None:
        """Something expected: a state change that an operator may want to see later."""
        ...

    def warning(self, message: str, /, **fields: LogValue) -> None:
        """Something unexpected that the program coped with."""
        ...

    def error(self, message: str, /, **fields: LogValue) -> None:
        """Something failed that the operator has to look at."""
        ...
