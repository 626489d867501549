"""Which of a server's endpoints answers first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from application.network.connection.handshake import Established

# Ours: how long an endpoint has for itself before the next one joins in. A handshake takes one round trip,
# so that a second is enough for nearly every path; and with a Go server, which lets the last handshake win,
# a second one must not be on its way when the first succeeds.
HEAD_START_S: Final = 1.0


async def first_to_answer(
    attempts: Sequence[Callable[[], Awaitable[Established]]], head_start_s: float = HEAD_START_S
) -> Established:
    """The result of the first attempt that succeeds; the others are cancelled, their paths closed.

    Attempts begin in order, each ``head_start_s`` after the one before it, or when one has failed. They
    close their path themselves when they fail or are cancelled. If all fail, the error of the last
    to fail is raised. Raises ValueError if there is none to try.
    """
    waiting = iter(attempts)
    running: set[asyncio.Task[Established]] = set()
    failure: BaseException | None = None
    try:
        while True:
            started = _start_next(waiting, running)
            if not running:
                raise failure or ValueError("a race needs at least one attempt")
            done, _ = await asyncio.wait(
                running,
                timeout=head_start_s if started else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            running -= done
            winners = [task for task in done if not task.exception()]
            if winners:
                for late in winners[1:]:
                    late.result().transport.close()
                return winners[0].result()
            failure = next((task.exception() for task in done), failure)
    finally:
        await _abandon(running)


def _start_next(
    waiting: Iterator[Callable[[], Awaitable[Established]]], running: set[asyncio.Task[Established]]
) -> bool:
    attempt = next(waiting, None)
    if attempt is None:
        return False
    running.add(asyncio.ensure_future(attempt()))
    return True


async def _abandon(running: set[asyncio.Task[Established]]) -> None:
    for task in running:
        task.cancel()
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(outcome, Established):  # it had succeeded before the cancellation reached it
            outcome.transport.close()
