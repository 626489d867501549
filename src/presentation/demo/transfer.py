"""A transfer over TCP that can be verified: ``python -m presentation.demo.transfer send|receive ...``.

The receiver keeps what arrives and hashes it afterwards, so that hashing does not slow the transfer; the
sender makes its data from one random block and makes it again for the hash. Each prints one JSON object.
"""

import argparse
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Final

MIB: Final = 1024 * 1024
INDEX_BYTES: Final = 8

# Sent by the receiver when it has everything, so that the sender does not count bytes that wait in buffers.
ARRIVED: Final = b"\x06"

# Slower than this, the demo gives up; so slow a tunnel between two namespaces is broken.
SLOWEST_S_PER_MIB: Final = 0.5
SMALLEST_DEADLINE_S: Final = 20.0
RETRY_S: Final = 0.05


def deadline_s(size_mib: int) -> float:
    """How long a transfer of ``size_mib`` may take, in seconds."""
    return SMALLEST_DEADLINE_S + size_mib * SLOWEST_S_PER_MIB


def blocks(random_block: bytes, count: int) -> Iterator[bytes]:
    """``count`` blocks of a MiB, no two alike: the index stands in front of the same random bytes."""
    body = random_block[: MIB - INDEX_BYTES]
    for index in range(count):
        yield index.to_bytes(INDEX_BYTES, "big") + body


def receive(listener: socket.socket, size_mib: int) -> dict[str, float | str]:
    """Accept one connection and take ``size_mib`` from it.

    Raises OSError when the network fails, TimeoutError at the deadline, EOFError if the sender ends early.
    """
    end = time.monotonic() + deadline_s(size_mib)
    data = bytearray(size_mib * MIB)
    view = memoryview(data)
    listener.settimeout(deadline_s(size_mib))
    connection, _ = listener.accept()
    with connection:
        started = time.monotonic()
        received = 0
        while received < len(data):
            connection.settimeout(_remaining_s(end))
            count = connection.recv_into(view[received:])
            if count == 0:
                raise EOFError(f"the sender ended after {received} of {len(data)} bytes")
            received += count
        seconds = time.monotonic() - started
        connection.sendall(ARRIVED)
    return {"bytes": received, "seconds": seconds, "sha256": hashlib.sha256(data).hexdigest()}


def send(address: str, port: int, size_mib: int) -> dict[str, float | str]:
    """Send ``size_mib`` to the receiver at ``address`` and ``port``.

    Raises OSError on a failure of the network, TimeoutError at the deadline, EOFError without confirmation.
    """
    end = time.monotonic() + deadline_s(size_mib)
    random_block = os.urandom(MIB)
    with _connect(address, port, end) as connection:
        started = time.monotonic()
        for block in blocks(random_block, size_mib):
            connection.settimeout(_remaining_s(end))
            connection.sendall(block)
        connection.settimeout(_remaining_s(end))
        if connection.recv(1) != ARRIVED:
            raise EOFError("the receiver did not confirm")
        seconds = time.monotonic() - started
    digest = hashlib.sha256()
    for block in blocks(random_block, size_mib):
        digest.update(block)
    return {"bytes": size_mib * MIB, "seconds": seconds, "sha256": digest.hexdigest()}


def _connect(address: str, port: int, end: float) -> socket.socket:
    while True:
        try:
            return socket.create_connection((address, port), timeout=_remaining_s(end))
        except ConnectionRefusedError:
            # The receiver is a process of its own and may still be starting.
            time.sleep(min(RETRY_S, _remaining_s(end)))


def _remaining_s(end: float) -> float:
    remaining = end - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the transfer was too slow")
    return remaining


def main() -> int:
    """Run one side; returns the exit status."""
    parser = argparse.ArgumentParser(prog="transfer")
    parser.add_argument("side", choices=("send", "receive"))
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, metavar="MIB")
    arguments = parser.parse_args()
    address, port, size = str(arguments.address), int(arguments.port), int(arguments.size)
    try:
        if arguments.side == "send":
            result = send(address, port, size)
        else:
            with socket.create_server((address, port)) as listener:
                result = receive(listener, size)
    except (OSError, EOFError, MemoryError) as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
