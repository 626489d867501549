"""Frames back to back: what one system call sends (UDP_SEGMENT) or receives (UDP_GRO).

A run is ``(frames, frame_bytes)``: frames of one length, the last of them perhaps shorter, in one buffer. A
datagram alone is a run of one, and so is a frame of a stream; then ``frame_bytes`` is its length. A run may
hold more than the kernel takes at once: whoever sends it cuts it at a multiple of ``frame_bytes``.
"""

from collections.abc import Sequence
from typing import TypeAlias

from domain.noise.primitives import Buffer

SealedRun: TypeAlias = tuple[Buffer, int]
ReceivedRun: TypeAlias = tuple[Buffer, int]


def joined(frames: Sequence[bytes]) -> list[SealedRun]:
    """``frames``, none of them empty, as the longest runs that keep their order."""
    runs: list[SealedRun] = []
    start, total = 0, len(frames)
    while start < total:
        size = len(frames[start])
        stop = start + 1
        while stop < total and len(frames[stop]) == size:
            stop += 1
        if stop < total and len(frames[stop]) < size:
            stop += 1
        run = frames[start] if stop - start == 1 else b"".join(frames[start:stop])
        runs.append((run, size))
        start = stop
    return runs


def cut(run: ReceivedRun) -> list[Buffer]:
    """The frames of a run, as views of its buffer."""
    frames, size = run
    if len(frames) <= size:
        return [frames]
    view = memoryview(frames)
    return [view[begin : begin + size] for begin in range(0, len(view), size)]


def one_by_one(frames: Sequence[Buffer]) -> list[SealedRun]:
    """``frames`` as a run each."""
    return [(frame, len(frame)) for frame in frames]


def frames_in(runs: Sequence[ReceivedRun]) -> int:
    """How many frames the runs hold."""
    return sum([-(-len(frames) // size) if len(frames) > size else 1 for frames, size in runs])
