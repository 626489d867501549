"""Commands that remember what they were asked and do as they are told."""

from collections.abc import Callable
from dataclasses import replace

from application.runtime.log import LogFormat, LogLevel
from domain.settings.profile import TransportProtocol
from presentation.cli.administration import GeneratedClient, PeerCommands, PeerView, Wish
from presentation.cli.commands import CleanUp, Commands, Loaders, Role
from tungo.__main__ import LOADERS


class RecordedCommands:
    """Records each call as a tuple; ``failure`` is raised instead of an answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | LogLevel | TransportProtocol | None, ...]] = []
        self.failure: Exception | None = None
        self.generated = GeneratedClient('{\n  "ClientID": 7\n}', 7)
        self.peer_view = PeerView(7, "phone", enabled=True, public_key="cHVibGlj")
        self.cleaned_up = CleanUp()
        self.was_locked = False
        self.before_generating: Callable[[], None] = lambda: None

    def run_server(self, config_dir: str, log_level: LogLevel, log_format: LogFormat) -> None:
        """Record the call, the format if one was asked for."""
        self._record("server", config_dir, log_level, *_unusual(log_format))

    def run_client(
        self, config_dir: str, log_level: LogLevel, log_format: LogFormat, *, kill_switch: bool
    ) -> None:
        """Record the call, the format if one was asked for."""
        switch = ("kill switch",) if kill_switch else ()
        self._record("client", config_dir, log_level, *_unusual(log_format), *switch)

    def clean_up(self, role: Role) -> CleanUp:
        """Record the call and answer with ``cleaned_up``."""
        self._record("clean up", role.value)
        return self.cleaned_up

    def unlock(self) -> bool:
        """Record the call and answer with ``was_locked``."""
        self._record("unlock")
        return self.was_locked

    def generate_client(self, config_dir: str, wish: Wish, name: str | None) -> GeneratedClient:
        """Record the call and answer with ``generated``."""
        self.before_generating()
        self._record("generate", config_dir, *_wished(wish), name)
        return self.generated

    def regenerate_client(self, config_dir: str, wish: Wish, which: str) -> GeneratedClient:
        """Record the call and answer with ``generated``."""
        self.before_generating()
        self._record("regenerate", config_dir, *_wished(wish), which)
        return self.generated

    def peers(self, config_dir: str) -> tuple[PeerView, ...]:
        """Record the call and answer with ``peer_view`` alone."""
        self._record("peers", config_dir)
        return (self.peer_view,)

    def peer(self, config_dir: str, which: str) -> PeerView:
        """Record the call and answer with ``peer_view``."""
        return self._peer("peer", config_dir, which)

    def rename_peer(self, config_dir: str, which: str, name: str) -> PeerView:
        """Record the call and answer with ``peer_view``."""
        return self._peer("rename", config_dir, which, name)

    def enable_peer(self, config_dir: str, which: str, *, enabled: bool) -> PeerView:
        """Record the call and answer with ``peer_view``."""
        return self._peer("enable" if enabled else "disable", config_dir, which)

    def remove_peer(self, config_dir: str, which: str) -> PeerView:
        """Record the call and answer with ``peer_view``."""
        return self._peer("remove", config_dir, which)

    def _peer(self, *call: str) -> PeerView:
        self._record(*call)
        return self.peer_view

    def _record(self, *call: str | LogLevel | TransportProtocol | None) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure


def _unusual(log_format: LogFormat) -> tuple[str, ...]:
    return () if log_format is LogFormat.AUTO else (log_format.value,)


def _wished(wish: Wish) -> tuple[str | TransportProtocol | None, ...]:
    """The client's key only where it was given."""
    key = () if wish.client_key is None else (wish.client_key,)
    return (wish.host, wish.protocol, *key)


def loaders_of(commands: RecordedCommands) -> Loaders:
    """``commands`` for the tunnel and the peers; the rest is what the program has."""
    return replace(LOADERS, tunnel=lambda: commands, peers=lambda: commands)


_: type[Commands] = RecordedCommands
_peers: type[PeerCommands] = RecordedCommands
