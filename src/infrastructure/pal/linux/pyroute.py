"""Getting at pyroute2: no more of it than is needed, on an event loop that it can live on."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from threading import Thread
from types import ModuleType
from typing import TypeVar

_Result = TypeVar("_Result")


def prepare_import() -> None:
    """Let modules of pyroute2 be imported without running the package's own ``__init__``.

    That one imports every protocol that the package knows, and a database over SQLite: 6 MiB of the
    memory of each endpoint, and half of the time that it takes to bring an interface up.
    """
    if "pyroute2" in sys.modules:
        return
    spec = importlib.util.find_spec("pyroute2")
    if spec is None or spec.submodule_search_locations is None:
        return  # the import that follows says what is wrong
    package = ModuleType("pyroute2")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["pyroute2"] = package


class NetlinkLoop:
    """The event loop that netlink sockets are made on: the running one, or one in a thread of its own.

    uvloop refuses sockets of a family that it does not know. Netlink is for the control plane, so that
    crossing to another thread costs nothing that matters.
    """

    def __init__(self, elsewhere: asyncio.AbstractEventLoop | None) -> None:
        self._elsewhere = elsewhere

    async def run(self, coroutine: Coroutine[None, None, _Result]) -> _Result:
        """Run ``coroutine`` on the loop; cancelling the caller cancels it there."""
        if self._elsewhere is None:
            return await coroutine
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._elsewhere))


@asynccontextmanager
async def netlink_loop() -> AsyncIterator[NetlinkLoop]:
    """The right loop, in the network namespace of this thread; a thread of its own ends on exit."""
    if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        yield NetlinkLoop(None)
        return
    elsewhere = asyncio.SelectorEventLoop()
    thread = Thread(target=elsewhere.run_forever, name="netlink")
    thread.start()
    try:
        yield NetlinkLoop(elsewhere)
    finally:
        elsewhere.call_soon_threadsafe(elsewhere.stop)
        thread.join()
        elsewhere.close()
