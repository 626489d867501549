"""Changes of the network that the test makes."""

import asyncio

from application.network.routing.changes import NetworkChanges


class FakeNetworkSurroundings:
    """NetworkChanges of a host whose ways out are ``ways_out``.

    ``become`` replaces them, and has happened for the present or the next ``wait`` unless they are then what
    they were before.
    """

    def __init__(self, *ways_out: str) -> None:
        self._ways_out = self._known = frozenset(ways_out)
        self._touched = asyncio.Event()

    def become(self, *ways_out: str) -> None:
        self._ways_out = frozenset(ways_out)
        self._touched.set()

    async def wait(self) -> None:
        while self._ways_out == self._known:
            await self._touched.wait()
            self._touched.clear()
        self._known = self._ways_out


_: type[NetworkChanges] = FakeNetworkSurroundings
