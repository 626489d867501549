"""What every router must do for a worker."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from application.network.routing.router import Router
from application.network.routing.worker import SessionEndedError
from infrastructure.pal.linux.clock import SystemClock
from infrastructure.tunnel.router import ReadinessRouter
from tests.adapters.router import PollingRouter
from tests.adapters.worker import PipeWorker


@pytest.fixture(params=[PollingRouter, ReadinessRouter])
def router(request: pytest.FixtureRequest) -> Router:
    made: Router = request.param(SystemClock())
    return made


@pytest.fixture
def worker() -> Iterator[PipeWorker]:
    with PipeWorker() as made:
        yield made


def run_until(router: Router, worker: PipeWorker, done: Callable[[], bool]) -> None:
    """Route until ``done``, then cancel; an error of the worker leaves as it is."""

    async def scenario() -> None:
        routing = asyncio.ensure_future(router.run(worker))
        async with asyncio.timeout(5):
            while not done() and not routing.done():
                await asyncio.sleep(0.001)
        if routing.done():
            await routing
        routing.cancel()
        with suppress(asyncio.CancelledError):
            await routing

    asyncio.run(scenario())


def test_what_arrives_on_either_side_is_handled_however_much_it_is(
    router: Router, worker: PipeWorker
) -> None:
    os.write(worker.tun_writer, b"from the host")
    os.write(worker.transport_writer, b"from the network")
    run_until(router, worker, lambda: len(worker.from_tun) + len(worker.from_transport) == 29)
    assert worker.from_tun == b"from the host"
    assert worker.from_transport == b"from the network"


def test_a_deadline_that_has_come_is_handled_once(router: Router, worker: PipeWorker) -> None:
    worker.due_s = SystemClock().monotonic_s() + 0.02
    run_until(router, worker, lambda: worker.timers > 0)
    assert worker.timers == 1


def test_a_deadline_in_the_future_is_left_alone(router: Router, worker: PipeWorker) -> None:
    worker.due_s = SystemClock().monotonic_s() + 3600
    os.write(worker.tun_writer, b"tick")
    run_until(router, worker, lambda: worker.from_tun == b"tick")
    assert worker.timers == 0


@pytest.mark.parametrize("side", ["tun", "transport", "timer"])
def test_the_workers_error_ends_the_run_and_leaves_as_it_is(
    router: Router, worker: PipeWorker, side: str
) -> None:
    worker.failure = SessionEndedError(f"broken at {side}")
    match side:
        case "tun":
            os.write(worker.tun_writer, b"x")
        case "transport":
            os.write(worker.transport_writer, b"x")
        case _:
            worker.due_s = 0.0
    with pytest.raises(SessionEndedError, match="broken at"):
        run_until(router, worker, lambda: False)


def test_cancelling_leaves_the_descriptors_open_and_unwatched(router: Router, worker: PipeWorker) -> None:
    run_until(router, worker, lambda: True)
    os.write(worker.tun_writer, b"late")

    async def elsewhere() -> None:
        await asyncio.sleep(0.01)

    asyncio.run(elsewhere())
    assert worker.from_tun == b""
    assert os.read(worker.tun_fileno(), 10) == b"late"
