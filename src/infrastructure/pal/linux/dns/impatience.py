"""Running programs that talk to a name service, which may be as dead as the network."""

import asyncio
import os
import signal
from contextlib import suppress
from typing import Final

from infrastructure.pal.linux.errors import ResolverError
from infrastructure.pal.linux.programs import Finished


class UnfinishedError(ResolverError):
    """The program has not finished in time."""


# Waits for what it starts in the background; when it is killed, that goes on.
_IN_BACKGROUND: Final = ("sh", "-c", '"$@" & wait $!', "sh")


async def run_within(
    limit_s: float, *command: str, document: bytes = b"", may_go_on: bool = False
) -> Finished:
    """Run ``command`` in the C locale with ``document`` as its standard input, for ``limit_s`` at most.

    When the time is over, or on a cancellation, it and all that it started are killed. With ``may_go_on`` it
    is left to finish by itself instead, and reads nothing. Raises UnfinishedError if it did not finish,
    ResolverError if it cannot be started.
    """
    with os.fdopen(os.memfd_create("in"), "w+b") as stdin, os.fdopen(os.memfd_create("out"), "w+b") as output:
        stdin.write(document)
        stdin.seek(0)
        try:
            # Files and not pipes: a service that it starts may keep them open.
            process = await asyncio.create_subprocess_exec(
                *(_IN_BACKGROUND if may_go_on else ()),
                *command,
                stdin=stdin,
                stdout=output,
                stderr=output,
                env=os.environ | {"LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as exc:
            raise ResolverError(f"cannot start {command[0]}: {exc.strerror}") from exc
        try:
            async with asyncio.timeout(limit_s):
                await process.wait()
        except TimeoutError:
            raise UnfinishedError(f"{' '.join(command)} has not finished after {limit_s:g} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    if may_go_on:
                        process.kill()
                    else:
                        os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        output.seek(0)
        said = output.read()
    return Finished(process.returncode or 0, said, said.decode(errors="replace"))
