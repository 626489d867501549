"""The asyncio loop under a worker: readiness callbacks and one timer, no task per packet."""

import asyncio
import math
from typing import NoReturn

from application.network.routing.router import Router
from application.network.routing.worker import Worker
from application.runtime.clock import Clock


class ReadinessRouter:
    """Calls a worker when its descriptors are readable and when its deadline has come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def run(self, worker: Worker) -> NoReturn:
        """See Router."""
        drive = _Drive(worker, self._clock, asyncio.get_running_loop())
        try:
            await drive.failure
        finally:
            drive.stop()
        raise AssertionError("a worker's failure is always an exception")


class _Drive:
    """One run of one worker. ``failure`` ends with whatever the worker raises."""

    def __init__(self, worker: Worker, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._worker = worker
        self._clock = clock
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for_s = math.inf
        self.failure: asyncio.Future[None] = loop.create_future()
        self._descriptors = (worker.tun_fileno(), worker.transport_fileno())
        loop.add_reader(self._descriptors[0], self._on_tun)
        loop.add_reader(self._descriptors[1], self._on_transport)
        self._arm()

    def stop(self) -> None:
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
        if self._timer is not None:
            self._timer.cancel()

    def _on_tun(self) -> None:
        try:
            self._worker.handle_tun()
        except Exception as error:  # a callback has no caller: run() raises it
            self._fail(error)

    def _on_transport(self) -> None:
        try:
            self._worker.handle_transport()
            self._arm()
        except Exception as error:
            self._fail(error)

    def _on_timer(self) -> None:
        self._armed_for_s = math.inf
        try:
            deadline_s = self._worker.next_deadline_s()
            if deadline_s is not None and deadline_s <= self._clock.monotonic_s():
                self._worker.handle_timer()
            self._arm()
        except Exception as error:
            self._fail(error)

    def _arm(self) -> None:
        """Set the timer if the deadline has moved closer.

        A deadline that moves away, as it does with every datagram, leaves the timer alone: finding nothing
        due when it fires is cheaper than a new timer per datagram.
        """
        deadline_s = self._worker.next_deadline_s()
        if deadline_s is None or deadline_s >= self._armed_for_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for_s = deadline_s
        pause_s = max(deadline_s - self._clock.monotonic_s(), _SHORTEST_PAUSE_S)
        self._timer = self._loop.call_later(pause_s, self._on_timer)

    def _fail(self, error: Exception) -> None:
        self.stop()
        if not self.failure.done():
            self.failure.set_exception(error)


# Ours: a worker that always has something due leaves this much of the time to its descriptors.
_SHORTEST_PAUSE_S = 0.001

_: type[Router] = ReadinessRouter
