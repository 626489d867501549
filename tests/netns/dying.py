"""A program that kills itself at a given step of holding a host, as often as it is told.

``python -m tests.netns.dying client`` (or ``server``) reads numbers, one a line. For each, a process of its
own holds the host and lets go of it, and is killed at the step with that number; the answer is ``killed`` and
the name of the step, or ``survived`` if there are not as many steps.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Final

from infrastructure.pal.linux.pyroute import prepare_import
from tests.netns.steps import Steps
from tests.netns.test_unfinished_changes import hold_as_client, hold_as_server

_LIVES: Final[dict[str, Callable[[], Coroutine[None, None, None]]]] = {
    "client": hold_as_client,
    "server": hold_as_server,
}


def main() -> None:
    """See the module docstring."""
    life = _LIVES[sys.argv[1]]
    prepare_import()
    import pyroute2.iproute.linux  # type: ignore[import-untyped]  # noqa: F401, PLC0415  (once, for all children)

    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _live_and_die(life, int(line), writer)
        os.close(writer)
        with os.fdopen(reader) as last_words:
            step = last_words.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(f"killed {step}" if killed else f"survived {status}", flush=True)  # noqa: T201 - its answer


def _live_and_die(life: Callable[[], Coroutine[None, None, None]], at: int, last_words: int) -> None:
    def die() -> None:
        os.write(last_words, steps.names[-1].encode())
        os.kill(os.getpid(), signal.SIGKILL)

    steps = Steps(at, die)
    steps.install(setattr)
    asyncio.run(life())
    os._exit(0)


if __name__ == "__main__":
    main()
