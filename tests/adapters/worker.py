"""A worker whose two descriptors are pipes that the test writes to."""

import os
from contextlib import suppress
from types import TracebackType

from application.network.routing.worker import ProbingWorker


class PipeWorker:
    """Collects the bytes that arrive in each pipe; ``failure`` is raised by the next call of any handler.

    ``due_s`` is the deadline; ``handle_timer`` counts and clears it.
    """

    def __init__(self) -> None:
        self._tun, self.tun_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._transport, self.transport_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.from_tun = b""
        self.from_transport = b""
        self.timers = 0
        self.probes = 0
        self.due_s: float | None = None
        self.failure: Exception | None = None

    def __enter__(self) -> "PipeWorker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in (self._tun, self.tun_writer, self._transport, self.transport_writer):
            os.close(descriptor)

    def tun_fileno(self) -> int:
        return self._tun

    def transport_fileno(self) -> int:
        return self._transport

    def handle_tun(self) -> None:
        self._fail()
        with suppress(BlockingIOError):
            self.from_tun += os.read(self._tun, 4)

    def handle_transport(self) -> None:
        self._fail()
        with suppress(BlockingIOError):
            self.from_transport += os.read(self._transport, 4)

    def handle_timer(self) -> None:
        self._fail()
        self.timers += 1
        self.due_s = None

    def probe(self) -> None:
        self._fail()
        self.probes += 1

    def next_deadline_s(self) -> float | None:
        return self.due_s

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


_: type[ProbingWorker] = PipeWorker
