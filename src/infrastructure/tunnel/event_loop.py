"""Which event loop a tunnel runs on."""

import asyncio
from collections.abc import Callable


def fastest_loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's, where the extra ``speed`` is installed, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
