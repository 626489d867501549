"""Paths over the loopback interface, with the server's end of them."""

import asyncio
from pathlib import Path

from infrastructure.network.stream.client import StreamClientTransport, StreamDialer
from infrastructure.network.stream.connection import Connection
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.stream.stack import Codecs, no_codecs


def descriptors() -> set[int]:
    """The open ones of this process."""
    listed = list(Path("/proc/self/fd").iterdir())
    # The one that read the directory is gone by now.
    return {int(entry.name) for entry in listed if entry.is_symlink()}


async def polled(listener: BoundStreamListener) -> list[Connection]:
    """The next poll that returns connections."""
    while True:
        if found := list(listener.poll()):
            return found
        await asyncio.sleep(0.001)


async def open_path(
    listener: BoundStreamListener, codecs: Codecs = no_codecs
) -> tuple[StreamClientTransport, Connection]:
    """A dialled path and the server's end of it."""
    dialling = asyncio.create_task(StreamDialer(codecs=codecs).dial(listener.local_endpoint))
    (connection,) = await polled(listener)
    while not dialling.done():
        connection.read_frames()
        await asyncio.sleep(0.001)
    return dialling.result(), connection
