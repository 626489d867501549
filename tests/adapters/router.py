"""A router that asks instead of waiting to be told, for workers whose descriptors no kernel knows."""

import asyncio
from typing import NoReturn

from application.network.routing.router import Router
from application.network.routing.worker import Worker
from application.runtime.clock import Clock


class PollingRouter:
    """Lets the worker look at both sides over and over, and gives way to other tasks in between."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def run(self, worker: Worker) -> NoReturn:
        while True:
            worker.handle_tun()
            worker.handle_transport()
            deadline_s = worker.next_deadline_s()
            if deadline_s is not None and deadline_s <= self._clock.monotonic_s():
                worker.handle_timer()
            await asyncio.sleep(0)


_: type[Router] = PollingRouter
