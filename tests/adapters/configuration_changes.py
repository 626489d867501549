"""Changes of the configuration that the test announces."""

import asyncio

from application.runtime.configuration import ConfigurationChanges


class AnnouncedChanges:
    """``announce`` makes the present or the next ``wait`` return; several before it count as one."""

    def __init__(self) -> None:
        self._announced = asyncio.Event()

    def announce(self) -> None:
        self._announced.set()

    async def wait(self) -> None:
        await self._announced.wait()
        self._announced.clear()


_: type[ConfigurationChanges] = AnnouncedChanges
