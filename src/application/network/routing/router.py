"""The loop that drives a worker."""

from typing import NoReturn, Protocol

from application.network.routing.worker import Worker


class Router(Protocol):
    """Watches a worker's descriptors and deadlines."""

    async def run(self, worker: Worker) -> NoReturn:
        """Drive ``worker`` until it raises; the error is raised here.

        Cancelling stops watching and leaves the worker's descriptors open.
        """
        ...
