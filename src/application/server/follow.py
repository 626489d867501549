"""Following the configuration while the server runs."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final, NoReturn

from application.runtime.configuration import (
    ConfigurationChanges,
    ConfigurationError,
    ServerConfiguration,
)
from application.runtime.log import EventLog
from application.server.access import AccessControl
from application.server.background import in_background
from application.server.restart import restart_keys
from domain.addressing.peers import AccessList
from domain.settings.server import ServerSettings

# Platform specification 10: a configuration that could not be used is looked at again after this time,
# changed or not, for the reason may lie outside of it (rights, memory, a file system that was away).
RETRY_INTERVAL_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Loaded:
    settings: ServerSettings
    access_list: AccessList


class FollowConfiguration:
    """Applies what the configuration says about peers as soon as it changes.

    An invalid or vanished configuration changes nothing: the last good one stays in force, and one error
    says so. What takes effect only when the server is restarted is named in one warning per change;
    ``running`` are the settings that it was started with.
    """

    def __init__(
        self,
        *,
        running: ServerSettings,
        configuration: ServerConfiguration,
        changes: ConfigurationChanges,
        access: AccessControl,
        log: EventLog,
        retry_interval_s: float = RETRY_INTERVAL_S,
    ) -> None:
        self._running = running
        self._known = running
        self._configuration = configuration
        self._changes = changes
        self._access = access
        self._log = log
        self._retry_interval_s = retry_interval_s

    async def run(self) -> NoReturn:
        """Follow until cancelled. The first look is at once: the file may have changed during the start."""
        while True:
            loaded = await self._read()
            await self._apply(loaded)
            await self._changes.wait()

    async def _apply(self, loaded: _Loaded) -> None:
        await self._access.replace(loaded.access_list)
        self._log.info("access list read", peers=len(loaded.access_list))
        if restart_keys(self._known, loaded.settings):
            pending = restart_keys(self._running, loaded.settings)
            if pending:
                self._log.warning(
                    "changed settings take effect when the server is restarted", keys=", ".join(pending)
                )
            else:
                self._log.info("the settings are those again that the server was started with")
        self._known = loaded.settings

    async def _read(self) -> _Loaded:
        """The configuration as soon as it can be used; each change that cannot is one error."""
        told: str | None = None
        while True:
            try:
                # A file with thousands of peers takes longer to read than packets should wait.
                return await in_background(self._load)
            except ConfigurationError as error:
                reason = str(error)
                if reason != told:
                    self._log.error("the changed configuration is not used", reason=reason)
            told = reason if await self._nothing_changed() else None

    def _load(self) -> _Loaded:
        settings = self._configuration.load()
        return _Loaded(settings, settings.access_list())

    async def _nothing_changed(self) -> bool:
        """Wait for a change; True if there was none for as long as it is worth waiting."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._retry_interval_s):
                await self._changes.wait()
                return False
        return True
