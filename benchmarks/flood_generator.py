"""Floods a UDP port with datagrams from thousands of forged addresses: the hostile half of the benchmark.

Sends whole Ethernet frames, so it must run as root in the network namespace of the interface. All frames are
made before the first is sent; what is left per frame is one system call. Prints one JSON object.
"""

import json
import os
import random
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Final, NamedTuple

from domain.noise.client import ClientHandshake
from domain.noise.keys import KeyPair
from infrastructure.cryptography.primitives import PycaPrimitives

# Frames before they repeat, each with another source; a message costs a quarter of a millisecond to make.
MESSAGES: Final = 4096
SOURCES: Final = 16_384
# Sources are below this network, which must lead nowhere.
FORGED_NETWORK: Final = (10 << 24) | (128 << 16)

_GARBAGE_SIZES: Final = (1, 20, 48, 130, 400, 1400)
_TICK_S: Final = 0.001
_BURST: Final = 256  # frames between two looks at the clock
_IPV4: Final = struct.Struct(">BBHHHBBH4s4s")
_UDP: Final = struct.Struct(">HHHH")
_PRIMITIVES: Final = PycaPrimitives()


class Target(NamedTuple):
    """Where the flood goes: the cable that it is put on, and the server at the other end of it."""

    interface: str
    mac: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Flood:
    """What was sent, and what it took this process."""

    datagrams: int
    seconds: float
    cpu_seconds: float


def handshake_messages(server_public: bytes, count: int) -> list[bytes]:
    """First messages with a valid MAC1: the public key of the server is all that it takes."""
    stranger = KeyPair.from_private(_PRIMITIVES, os.urandom(32))
    return [
        ClientHandshake(_PRIMITIVES, server_public, stranger).start(0.0, os.urandom) for _ in range(count)
    ]


def garbage(count: int) -> list[bytes]:
    """Noise of several sizes."""
    rng = random.Random(1)  # noqa: S311 - the same flood every time
    return [rng.randbytes(rng.choice(_GARBAGE_SIZES)) for _ in range(count)]


def frames(target: Target, source_mac: bytes, payloads: list[bytes]) -> list[bytes]:
    """One frame per source, the payloads in turn."""
    ethernet = bytes.fromhex(target.mac.replace(":", "")) + source_mac + b"\x08\x00"
    destination = socket.inet_aton(target.host)
    made = []
    for number, payload in enumerate(islice(cycle(payloads), SOURCES)):
        source = (FORGED_NETWORK + number * 509).to_bytes(4)
        udp = _UDP.pack(1024 + number % 60_000, target.port, _UDP.size + len(payload), 0)  # no checksum
        made.append(ethernet + _ipv4_header(len(udp) + len(payload), source, destination) + udp + payload)
    return made


def send(target: Target, payloads: list[bytes], per_second: int, seconds: float) -> Flood:
    """Send at that rate for so long, never more than ``per_second * seconds`` in all."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as cable:
        cable.bind((target.interface, 0))
        prepared = cycle(frames(target, cable.getsockname()[4], payloads))
        started_s, started_cpu_s = time.monotonic(), time.process_time()
        sent = 0
        while (elapsed_s := time.monotonic() - started_s) < seconds:
            due = min(int(elapsed_s * per_second) - sent, _BURST)
            for frame in islice(prepared, due):
                cable.send(frame)
            sent += due
            if due < _BURST:
                time.sleep(_TICK_S)
        return Flood(sent, time.monotonic() - started_s, time.process_time() - started_cpu_s)


def _ipv4_header(payload_bytes: int, source: bytes, destination: bytes) -> bytes:
    def pack(checksum: int) -> bytes:
        total = _IPV4.size + payload_bytes
        return _IPV4.pack(0x45, 0, total, 0, 0, 64, socket.IPPROTO_UDP, checksum, source, destination)

    words = struct.unpack(">10H", pack(0))
    folded = sum(words)
    folded = (folded & 0xFFFF) + (folded >> 16)
    folded = (folded & 0xFFFF) + (folded >> 16)
    return pack(folded ^ 0xFFFF)


def main(arguments: list[str]) -> None:
    """``KIND INTERFACE MAC HOST PORT PER_SECOND SECONDS SERVER_PUBLIC_HEX``."""
    kind, interface, mac, host, port, per_second, seconds, server_public = arguments
    if kind == "handshakes":
        payloads = handshake_messages(bytes.fromhex(server_public), MESSAGES)
    else:
        payloads = garbage(MESSAGES)
    flood = send(Target(interface, mac, host, int(port)), payloads, int(per_second), float(seconds))
    print(json.dumps(asdict(flood)))


if __name__ == "__main__":
    main(sys.argv[1:])
