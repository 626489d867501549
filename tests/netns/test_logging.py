"""What ``tungo`` writes to standard error, by who reads it."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain.settings.profile import TransportProtocol
from infrastructure.logging.journald import STREAM_VARIABLE
from tests.netns.tungo_program import START_S, program_environment, tungo_inside
from tests.netns.tunnel_bed import Folders, TunnelBed, opened_tunnel_bed

pytestmark = pytest.mark.netns


@pytest.fixture
def bed(folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    with opened_tunnel_bed(TransportProtocol.UDP, folders, tmp_path) as made:
        yield made


@contextmanager
def serving(bed: TunnelBed, sink: int, *options: str, **environment: str) -> Iterator[None]:
    """A server whose standard error is ``sink``."""
    process = subprocess.Popen(
        tungo_inside(bed.server, "server", "--config-dir", str(bed.folders.server), *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=sink,
        env=program_environment() | environment,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(START_S)


@contextmanager
def stream() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection such as the one to the journal: the end to read from, and that of the program."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with reader, writer:
        reader.settimeout(START_S)
        yield reader, writer


def first_line(reader: socket.socket) -> str:
    with reader.makefile("r", encoding="utf-8") as lines:
        return lines.readline()


def test_json_is_written_if_it_is_asked_for(bed: TunnelBed) -> None:
    with stream() as (reader, writer), serving(bed, writer.fileno(), "--log-format", "json"):
        record = json.loads(first_line(reader))
    assert list(record)[:3] == ["time", "level", "msg"]
    assert record["level"] == "INFO"


def test_the_journal_is_told_levels_in_its_own_way(bed: TunnelBed) -> None:
    with stream() as (reader, writer):
        status = os.fstat(writer.fileno())
        names = {STREAM_VARIABLE: f"{status.st_dev}:{status.st_ino}"}
        with serving(bed, writer.fileno(), **names):
            line = first_line(reader)
    assert line.startswith("<6>level=INFO msg=")


def test_whoever_else_reads_gets_text_with_the_time(bed: TunnelBed) -> None:
    with stream() as (reader, writer), serving(bed, writer.fileno()):
        assert first_line(reader).startswith("time=20")
