import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.logging.journald import STREAM_VARIABLE, JournalFormatter, is_journal


@pytest.fixture
def stream() -> Iterator[int]:
    """A descriptor such as systemd gives to a service."""
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


def name_of(descriptor: int) -> str:
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}"


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
        (logging.CRITICAL, "<3>"),
        (1, "<7>"),
    ],
)
def test_a_line_begins_with_the_priority_of_its_level(level: int, prefix: str) -> None:
    record = logging.LogRecord("tungo", level, __file__, 1, "x", None, None)
    assert JournalFormatter(logging.Formatter()).format(record) == f"{prefix}x"


def test_the_journal_is_known_by_the_device_and_inode_of_its_stream(stream: int) -> None:
    assert is_journal(stream, {STREAM_VARIABLE: name_of(stream)})


def test_an_inherited_variable_does_not_make_another_descriptor_the_journal(stream: int) -> None:
    with Path(os.devnull).open("wb") as other:
        assert not is_journal(other.fileno(), {STREAM_VARIABLE: name_of(stream)})
    assert not is_journal(stream, {})
    assert not is_journal(stream, {STREAM_VARIABLE: "nonsense"})


def test_a_closed_descriptor_is_no_journal(stream: int) -> None:
    closed = os.dup(stream)
    os.close(closed)
    assert not is_journal(closed, {STREAM_VARIABLE: name_of(stream)})
