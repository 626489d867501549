"""Commands that remember what they were asked and do as they are told."""

from collections.abc import Callable

from application.runtime.log import LogLevel
from domain.settings.profile import TransportProtocol
from presentation.cli.commands import CleanUp, Commands, GeneratedClient, Role


class RecordedCommands:
    """Records each call as a tuple; ``failure`` is raised instead of an answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | LogLevel | TransportProtocol | None, ...]] = []
        self.failure: Exception | None = None
        self.generated = GeneratedClient('{\n  "ClientID": 7\n}', 7)
        self.cleaned_up = CleanUp()
        self.was_locked = False
        self.before_generating: Callable[[], None] = lambda: None

    def run_server(self, config_dir: str, log_level: LogLevel) -> None:
        """Record the call."""
        self._record("server", config_dir, log_level)

    def run_client(self, config_dir: str, log_level: LogLevel, *, kill_switch: bool) -> None:
        """Record the call."""
        self._record("client", config_dir, log_level, *(("kill switch",) if kill_switch else ()))

    def clean_up(self, role: Role) -> CleanUp:
        """Record the call and answer with ``cleaned_up``."""
        self._record("clean up", role.value)
        return self.cleaned_up

    def unlock(self) -> bool:
        """Record the call and answer with ``was_locked``."""
        self._record("unlock")
        return self.was_locked

    def generate_client(
        self, config_dir: str, host: str | None, name: str | None, protocol: TransportProtocol | None
    ) -> GeneratedClient:
        """Record the call and answer with ``generated``."""
        self.before_generating()
        self._record("generate", config_dir, host, name, protocol)
        return self.generated

    def _record(self, *call: str | LogLevel | TransportProtocol | None) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure


_: type[Commands] = RecordedCommands
