import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from infrastructure.logging.stderr import LINE_BYTES, DescriptorHandler
from infrastructure.logging.text import TextFormatter

PROGRAM = """
import os, sys
from application.runtime.log import LogLevel
from infrastructure.logging.stderr import setup_logging
from infrastructure.logging.text import TextEventLog
setup_logging(LogLevel(sys.argv[1]))
log = TextEventLog("tungo.test")
log.info("one", n=1)
log.warning("two")
log.error("three")
print("alive")
"""


def run(
    level: str, redirection: str = "", inherited: tuple[int, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" "$2" {redirection}', sys.executable, PROGRAM, level],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        pass_fds=inherited,
    )


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(writer)
    os.close(reader)


def handler_on(descriptor: int) -> DescriptorHandler:
    handler = DescriptorHandler(descriptor)
    handler.setFormatter(TextFormatter())
    return handler


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("tungo.test", logging.INFO, __file__, 1, message, None, None)


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", 3), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_the_level_decides_what_is_written_to_standard_error(level: str, written: int) -> None:
    outcome = run(level)
    assert outcome.returncode == 0
    assert len(outcome.stderr.splitlines()) == written


def test_a_reader_that_is_gone_does_not_end_the_process() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        outcome = run("info", f"2>&{writer}", inherited=(writer,))
    finally:
        os.close(writer)
    assert (outcome.returncode, outcome.stdout) == (0, "alive\n")


def test_a_process_without_standard_error_runs_and_ends_with_status_0() -> None:
    outcome = run("info", "2>&-")
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "alive\n", "")


def test_writing_to_a_pipe_that_nobody_reads_drops_and_counts(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    handler = handler_on(writer)
    text = "x" * 900
    for _ in range(200):
        handler.emit(record(text))
    assert handler.dropped > 0


def test_after_a_stall_the_loss_is_reported_before_the_next_record(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    handler = handler_on(writer)
    while handler.dropped < 3:
        handler.emit(record("x" * 900))
    os.read(reader, 1 << 20)
    handler.emit(record("again"))
    first, second = os.read(reader, 1 << 20).decode().splitlines()
    assert first.endswith('level=WARN msg="log lines were lost: nobody read them" lines=3')
    assert second.endswith("level=INFO msg=again")
    assert handler.dropped == 0


def test_a_broken_pipe_is_a_dropped_line() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    handler = handler_on(writer)
    handler.emit(record("x"))
    os.close(writer)
    assert handler.dropped == 1


def test_a_line_never_exceeds_what_a_pipe_takes_at_once(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    handler = handler_on(writer)
    long = record("m")
    long.tungo_fields = {f"k{n}": "ä" * 900 for n in range(9)}
    handler.emit(long)
    line = os.read(reader, 1 << 20)
    assert len(line) <= LINE_BYTES
    assert line.decode().endswith("...\n")
