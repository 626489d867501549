"""The commands behind the command line: read the configuration, build the container, run.

Every foreign error ends here as a ``CommandError``: one sentence and an exit status.
"""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from application.network.connection.transport import DialForbiddenError
from application.network.routing.tun import TunError
from application.network.stream.listener import StreamBindError
from application.network.udp.listener import UdpError
from application.runtime.configuration import ConfigurationError, HostUnknownError
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog, LogLevel
from application.server.generate import EnsureServerKeys, GenerateClient, GenerationError
from domain.noise.primitives import Primitives
from domain.settings.host import HostError
from domain.settings.profile import TransportProtocol
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.stderr import setup_logging
from infrastructure.logging.text import TextEventLog
from infrastructure.pal.configuration.files import ConfigurationFolder
from infrastructure.pal.configuration.host_detection import RouteHostDetection
from infrastructure.pal.configuration.reading import read_client
from infrastructure.pal.configuration.store import ServerConfigurationStore
from infrastructure.pal.configuration.writing import client_json
from infrastructure.pal.linux.journal import CLIENT, SERVER, JournalFolder
from infrastructure.pal.linux.kill_switch import unlock
from infrastructure.pal.linux.limits import raise_descriptor_limit
from infrastructure.pal.linux.recovery import clean_up
from infrastructure.pal.signals.shutdown import cancelled_by_signals
from infrastructure.tunnel.event_loop import fastest_loop_factory
from presentation.cli.commands import CleanUp, CommandError, Commands, GeneratedClient, Role
from tungo.container import ClientContainer, ServerContainer

# What a user can do something about; anything else is a defect and keeps its traceback.
_EXPECTED: Final = (
    ConfigurationError,
    DialForbiddenError,
    GenerationError,
    HostError,
    HostUnknownError,
    StreamBindError,
    TunError,
    UdpError,
)

_JOURNALS_OF: Final = {Role.CLIENT: CLIENT, Role.SERVER: SERVER}


class ContainerCommands:
    """Runs each command with a container of its own."""

    def __init__(self) -> None:
        self._primitives: Primitives = PycaPrimitives()
        self._entropy: Entropy = SystemEntropy()
        self._log: EventLog = TextEventLog()

    def run_server(self, config_dir: str, log_level: LogLevel) -> None:
        """See Commands."""
        setup_logging(log_level)
        with _one_sentence():
            store = self._store(config_dir)
            settings = EnsureServerKeys(store, self._primitives, self._entropy).ensure()
            raise_descriptor_limit()
            container = ServerContainer(settings=settings, path=store.path)
            _run(container.server().run(), self._log)
            self._log.info("stopped", **container.counters().as_dict())

    def run_client(self, config_dir: str, log_level: LogLevel, *, kill_switch: bool) -> None:
        """See Commands."""
        setup_logging(log_level)
        with _one_sentence():
            path = ConfigurationFolder(Path(config_dir)).client_file
            settings = read_client(path, self._primitives.public_key)
            if kill_switch:
                settings = replace(settings, routing=replace(settings.routing, kill_switch=True))
            container = ClientContainer(settings=settings)
            _run(container.tunnel().run(), self._log)
            self._log.info("stopped", **container.counters().as_dict())

    def clean_up(self, role: Role) -> CleanUp:
        """See Commands."""
        with _one_sentence():
            recovery = asyncio.run(clean_up(JournalFolder.of_this_host(), _JOURNALS_OF[role]))
        return CleanUp(tuple(recovery.undone), tuple(recovery.failed), tuple(recovery.running))

    def unlock(self) -> bool:
        """See Commands."""
        with _one_sentence():
            return asyncio.run(unlock())

    def generate_client(
        self, config_dir: str, host: str | None, name: str | None, protocol: TransportProtocol | None
    ) -> GeneratedClient:
        """See Commands."""
        with _one_sentence():
            use_case = GenerateClient(
                self._store(config_dir), RouteHostDetection(), self._primitives, self._entropy
            )
            generated = use_case.generate(host=host, name=name, protocol=protocol)
            return GeneratedClient(
                json=client_json(generated.settings),
                client_id=generated.settings.client_id,
                notes=tuple(note.sentence for note in generated.notes),
            )

    def _store(self, config_dir: str) -> ServerConfigurationStore:
        path = ConfigurationFolder(Path(config_dir)).server_file
        return ServerConfigurationStore(path, self._primitives.public_key, self._log, os.environ)


def _run(main: Coroutine[None, None, None], log: EventLog) -> None:
    """Run ``main`` until it ends or a shutdown signal arrives, on the fastest installed event loop."""

    async def until_signalled() -> None:
        async with cancelled_by_signals(log):
            await main

    with asyncio.Runner(loop_factory=fastest_loop_factory()) as runner:
        runner.run(until_signalled())


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except _EXPECTED as error:
        raise CommandError(str(error).rstrip(".")) from error


_: type[Commands] = ContainerCommands
