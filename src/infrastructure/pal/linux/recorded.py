"""A change of the host that is made as a whole or refused, with its entry in the journal around it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.journal import Journal, Json


@asynccontextmanager
async def recorded(
    journal: Journal,
    kind: str,
    facts: Mapping[str, Json],
    make: Callable[[], Awaitable[None]],
    undo: Callable[[Mapping[str, Json]], Awaitable[None]],
) -> AsyncIterator[None]:
    """What ``make`` does holds inside, and the journal knows it from before it is done until it is undone.

    A NetworkError of ``make`` says that nothing has been changed. ``undo`` must do no harm where nothing has.
    Raises what both raise, JournalError.
    """
    number = journal.record(kind, facts)
    try:
        await make()
    except NetworkError:
        journal.strike(number)
        raise
    except BaseException:
        await undo(facts)  # cancelled, and it may have been done by then
        journal.strike(number)
        raise
    try:
        yield
    finally:
        await undo(facts)
        journal.strike(number)
