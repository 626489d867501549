"""The commands behind the command line: read the configuration, build the container, run.

Every foreign error ends here as a ``CommandError``: one sentence and an exit status.
"""

import asyncio
import gc
import os
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Final

from application.network.connection.transport import DialForbiddenError
from application.network.routing.tun import TunError
from application.network.stream.listener import StreamBindError
from application.network.udp.listener import UdpError
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog, LogFormat, LogLevel
from application.server.generate import EnsureServerKeys
from domain.noise.primitives import Primitives
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.stderr import setup_logging
from infrastructure.logging.text import TextEventLog
from infrastructure.pal.configuration.files import ConfigurationFolder
from infrastructure.pal.configuration.reading import read_client
from infrastructure.pal.configuration.store import ServerConfigurationStore
from infrastructure.pal.linux.journal import CLIENT, SERVER, JournalFolder
from infrastructure.pal.linux.kill_switch import unlock
from infrastructure.pal.linux.limits import raise_descriptor_limit
from infrastructure.pal.linux.memory import keep_freed_memory
from infrastructure.pal.linux.recovery import clean_up, recover_names
from infrastructure.pal.signals.shutdown import cancelled_by_signals
from infrastructure.tunnel.event_loop import fastest_loop_factory
from presentation.cli.commands import CleanUp, Commands, Role
from tungo.container import ClientContainer, ServerContainer
from tungo.failures import one_sentence

# What a user can do something about, beside a ConfigurationError.
_EXPECTED: Final = (
    DialForbiddenError,
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

    def run_server(self, config_dir: str, log_level: LogLevel, log_format: LogFormat) -> None:
        """See Commands."""
        setup_logging(log_level, log_format)
        with one_sentence(*_EXPECTED):
            store = self._store(config_dir)
            settings = EnsureServerKeys(store, self._primitives, self._entropy).ensure()
            raise_descriptor_limit()
            # The name and not the file behind it: links to it may come to lead elsewhere.
            path = ConfigurationFolder(Path(config_dir)).server_file
            container = ServerContainer(settings=settings, path=path)
            _run(container.server().run(), self._log)
            self._log.info("stopped", **container.counters().as_dict())

    def run_client(
        self, config_dir: str, log_level: LogLevel, log_format: LogFormat, *, kill_switch: bool
    ) -> None:
        """See Commands."""
        setup_logging(log_level, log_format)
        with one_sentence(*_EXPECTED):
            path = ConfigurationFolder(Path(config_dir)).client_file
            settings = read_client(path, self._primitives.public_key)
            if kill_switch:
                settings = replace(settings, routing=replace(settings.routing, kill_switch=True))
            container = ClientContainer(settings=settings)
            _run(_recover_and_run(container), self._log)
            self._log.info("stopped", **container.counters().as_dict())

    def clean_up(self, role: Role) -> CleanUp:
        """See Commands."""
        with one_sentence(*_EXPECTED):
            recovery = asyncio.run(clean_up(JournalFolder.of_this_host(), _JOURNALS_OF[role]))
        return CleanUp(tuple(recovery.undone), tuple(recovery.failed), tuple(recovery.running))

    def unlock(self) -> bool:
        """See Commands."""
        with one_sentence(*_EXPECTED):
            return asyncio.run(unlock())

    def _store(self, config_dir: str) -> ServerConfigurationStore:
        path = ConfigurationFolder(Path(config_dir)).server_file
        return ServerConfigurationStore(path, self._primitives.public_key, self._log, os.environ)


async def _recover_and_run(container: ClientContainer) -> None:
    await recover_names(container.journals(), container.log())
    await container.tunnel().run()


def _run(main: Coroutine[None, None, None], log: EventLog) -> None:
    """Run ``main`` until it ends or a shutdown signal arrives, on the fastest installed event loop."""
    keep_freed_memory()

    async def until_signalled() -> None:
        async with cancelled_by_signals(log):
            await main

    # What has been made so far stays to the end: a collection that looked at it again would hold up packets.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=fastest_loop_factory()) as runner:
        runner.run(until_signalled())


_: type[Commands] = ContainerCommands
