"""Running the programs that change a host: nft and iptables."""

import asyncio
import os
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: ``status`` 0 means that it did what it should."""

    status: int
    output: bytes
    complaint: str

    @property
    def reason(self) -> str:
        """The first line of the complaint, for a message."""
        return next(iter(self.complaint.strip().splitlines()), f"exit status {self.status}")


async def run_program(*command: str, document: bytes = b"") -> Finished:
    """Run ``command`` in the C locale with ``document`` as its standard input.

    If cancelled, the program is left to finish first: what it does is done completely or not at all. Raises
    OSError, FileNotFoundError among them, if it cannot be started.
    """
    # A file and not a pipe: nft opens /dev/stdin anew, and uvloop's pipes are sockets: they have no name.
    with _document_file(document) as stdin:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=stdin, stdout=PIPE, stderr=PIPE, env=os.environ | {"LC_ALL": "C"}
        )
    conversation = asyncio.ensure_future(process.communicate())
    try:
        output, complaint = await asyncio.shield(conversation)
    except asyncio.CancelledError:
        await conversation
        raise
    return Finished(process.returncode or 0, output, complaint.decode(errors="replace"))


@contextmanager
def _document_file(document: bytes) -> Iterator[int]:
    """A descriptor of a file in memory that holds ``document``, at its beginning."""
    descriptor = os.memfd_create("document")
    try:
        os.write(descriptor, document)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
