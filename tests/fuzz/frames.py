"""Fuzzes what comes in aggregated frames: chunk headers from anybody, records from a peer with keys.

With atheris, coverage leads the way; it is no dependency of this project (``pip install atheris``)::

    PYTHONPATH=src:. python -m tests.fuzz.frames CORPUS_FOLDER -max_total_time=600

Without it, inputs are drawn from what a lying peer says, for as many seconds as asked::

    PYTHONPATH=src:. python -m tests.fuzz.frames 60

Either ends with a traceback at the first input that breaks a rule, which ``repr`` shows.
"""

import importlib
import importlib.util
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from domain.noise.keys import Role
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import Parcel
from domain.packets.segment import segment, split
from domain.session.aggregated_stream import AggregatedStream
from domain.session.chunks import FRAME_HEADER
from domain.session.reassembly import FRAMES_IN_FLIGHT, HELD_BYTES
from domain.session.stream import StreamSession
from infrastructure.pal.linux.virtio_header import PLAIN_HEADER, header_of
from tests.adapters.primitives import PlainPrimitives
from tests.domain.packets.trains import TCP_IPV4, TCP_IPV6
from tests.domain.session.aggregating import FRAME_ROUTE_ID, MTU_BYTES, SESSION_ID, established, keys_of
from tests.hostile.liar import Liar, flaw_of

_CHUNKS, _RECORDS, _STREAM = range(3)  # the first byte of an input, modulo 3


class Fuzzer(Protocol):
    """As much of atheris as is used here."""

    def Setup(self, arguments: Sequence[str], one_input: Callable[[bytes], None]) -> None: ...  # noqa: N802 - its name
    def Fuzz(self) -> None: ...  # noqa: N802 - its name
    def instrument_all(self) -> None: ...


def one_input(data: bytes) -> None:
    """Whatever the bytes are, no error leaves a session, and only sound parcels do. Raises AssertionError."""
    if not data:
        return
    kind, rest = data[0] % 3, data[1:]
    if kind == _CHUNKS:
        _open_chunks(rest)
    elif kind == _RECORDS:
        _open_records(rest)
    else:
        _open_stream(rest)


def _open_chunks(data: bytes) -> None:
    """Datagrams from whoever knows the route id: length (2 bytes), size of the run's (2 bytes), content."""
    server = established().server
    while len(data) > 4:
        length, size = int.from_bytes(data[:2]), 1 + int.from_bytes(data[2:4])
        content, data = data[4 : 4 + length], data[4 + length :]
        run = FRAME_ROUTE_ID + content
        opened = server.open_parcels([(run, size), (run, len(run))])
        _check([parcel for parcel in opened.parcels if parcel[2]])  # others may come in ordinary datagrams
        assert server.held_bytes <= HELD_BYTES
        assert server._reassembly.in_flight <= FRAMES_IN_FLIGHT


def _open_records(plaintext: bytes) -> None:
    ends = established()
    chunk_bytes = max(1, -(-(len(plaintext) + 16) // 46))
    if chunk_bytes > MTU_BYTES:
        return
    opened = ends.server.open_parcels([ends.client._sealed_frame(plaintext, 1, chunk_bytes)])
    assert opened.authenticated == 1
    _check(opened.parcels)


def _open_stream(plaintext: bytes) -> None:
    client, server = (
        AggregatedStream(PlainPrimitives(), role, SESSION_ID, keys_of(0), mtu_bytes=MTU_BYTES)
        for role in Role
    )
    if len(plaintext) > 65_000:
        return
    (frame,) = StreamSession.seal(client, [plaintext])
    opened = server.open_parcels([(frame[2:], len(frame) - 2)])
    assert opened.authenticated == 1
    _check(opened.parcels)


def _check(parcels: list[Parcel]) -> None:
    for parcel in parcels:
        packet, segment_bytes, partial_checksum = parcel
        header = PLAIN_HEADER
        if segment_bytes or partial_checksum:
            header = header_of(parcel, layout_of_untrusted(*parcel))
        flaw = flaw_of(packet, header, MTU_BYTES)
        assert flaw is None, f"{flaw}: {parcel!r}"
        pieces = split(parcel, 3 * MTU_BYTES)
        assert [one for piece in pieces for one in segment(piece)] == segment(parcel)


def inputs(seed: int) -> list[bytes]:
    """Some to begin with: what a lying peer says, and the same with bytes changed."""
    choice, liar = random.Random(seed), Liar(seed, (TCP_IPV4, TCP_IPV6))
    client = established().client
    made = []
    for _ in range(100):
        content = b"".join(
            (len(each) - 8).to_bytes(2) + choice.choice([27, 1455, 65535]).to_bytes(2) + each[8:]
            for each in liar.datagrams(client)
            if len(each) > FRAME_HEADER.size
        )
        made += [
            bytes([_CHUNKS]) + content,
            *(bytes([kind]) + liar.plaintext() for kind in (_RECORDS, _STREAM)),
        ]
    for _ in range(100):
        changed = bytearray(choice.choice(made))
        for _ in range(choice.randint(1, 5)):
            changed[choice.randrange(len(changed))] = choice.randrange(256)
        made.append(bytes(changed))
    return made


def _without_coverage(seconds: float) -> int:
    """How many inputs went well in that time."""
    deadline, tried, seed = time.monotonic() + seconds, 0, 0
    while time.monotonic() < deadline:
        for data in inputs(seed):
            try:
                one_input(data)
            except Exception as exc:
                raise AssertionError(f"input {data!r}") from exc
            tried += 1
        seed += 1
    return tried


def main(arguments: Sequence[str]) -> None:
    """See the module."""
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write(f"{_without_coverage(float(arguments[1]))} inputs\n")
        return
    atheris = cast("Fuzzer", importlib.import_module("atheris"))
    atheris.instrument_all()
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
