"""Commands that remember what they were asked and do as they are told."""

from collections.abc import Callable

from application.runtime.log import LogLevel
from presentation.cli.commands import Commands, GeneratedClient


class RecordedCommands:
    """Records each call as a tuple; ``failure`` is raised instead of an answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | LogLevel | None, ...]] = []
        self.failure: Exception | None = None
        self.generated = GeneratedClient('{\n  "ClientID": 7\n}', 7)
        self.before_generating: Callable[[], None] = lambda: None

    def run_server(self, config_dir: str, log_level: LogLevel) -> None:
        """Record the call."""
        self._record("server", config_dir, log_level)

    def run_client(self, config_dir: str, log_level: LogLevel) -> None:
        """Record the call."""
        self._record("client", config_dir, log_level)

    def generate_client(self, config_dir: str, host: str | None, name: str | None) -> GeneratedClient:
        """Record the call and answer with ``generated``."""
        self.before_generating()
        self._record("generate", config_dir, host, name)
        return self.generated

    def _record(self, *call: str | LogLevel | None) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure


_: type[Commands] = RecordedCommands
