"""Following the configuration while the server runs."""

import asyncio
from typing import NoReturn

from application.runtime.configuration import (
    ConfigurationChanges,
    ConfigurationError,
    ServerConfiguration,
)
from application.runtime.log import EventLog
from application.server.access import AccessControl
from domain.addressing.peers import AccessList


class FollowConfiguration:
    """Applies what the configuration says about peers as soon as it changes.

    An invalid or vanished configuration changes nothing: the last good one stays in force, and one error
    says so.
    """

    def __init__(
        self,
        *,
        configuration: ServerConfiguration,
        changes: ConfigurationChanges,
        access: AccessControl,
        log: EventLog,
    ) -> None:
        self._configuration = configuration
        self._changes = changes
        self._access = access
        self._log = log

    async def run(self) -> NoReturn:
        """Follow until cancelled. The first look is at once: the file may have changed during the start."""
        while True:
            access_list = await self._read()
            if access_list is not None:
                self._access.replace(access_list)
                self._log.info("access list read", peers=len(access_list))
            await self._changes.wait()

    async def _read(self) -> AccessList | None:
        try:
            # In a thread: a file with thousands of peers takes longer to read than packets should wait.
            settings = await asyncio.to_thread(self._configuration.load)
        except ConfigurationError as error:
            self._log.error("the changed configuration is not used", reason=str(error))
            return None
        return settings.access_list()
