"""Noticing that the network around this host is another one."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias


class NetworkChanges(Protocol):
    """The ways out of this host: its uplinks, their addresses and routes. What a tunnel itself adds is not
    one.

    For one waiter; each of several needs changes of its own.
    """

    async def wait(self) -> None:
        """Return when they are no longer what they were when ``wait`` returned last, or when watching began.

        What happens while nobody waits is not lost, and a burst is one change: it is reported when the burst
        is over or has gone on for a moment, and not at all if everything is as before then. Cancelling
        loses no change. Where nothing can be watched any more, it does not return.
        """
        ...


# Begins to watch on entry, which raises TunError where that is impossible, and ends on exit.
WatchNetwork: TypeAlias = Callable[[], AbstractAsyncContextManager[NetworkChanges]]
