"""Ctrl-C and SIGTERM end the demo in order: the story stops, the cleaning up does not."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from presentation.demo.errors import DemoInterruptedError

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Shutdown signals do nothing in the body: it cleans up, and in bounded time."""
    previous = {number: signal.signal(number, _ignore) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """The first shutdown signal raises DemoInterruptedError in the body; use it inside ``signals_wait``."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _calm()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _calm()
    raise DemoInterruptedError(f"interrupted by {signal.Signals(number).name}")


def _calm() -> None:
    for number in _SIGNALS:
        signal.signal(number, _ignore)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    # A Python function and not SIG_IGN, which the programs started meanwhile would inherit.
    pass
