import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from application.runtime.log import LogFormat
from infrastructure.logging.journald import STREAM_VARIABLE
from infrastructure.logging.stderr import LINE_BYTES, DescriptorHandler, formatter_for
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


IN_COLOUR = {"TERM": "xterm"}
TIMED_TEXT = re.compile(r"time=\S+ level=INFO msg=x")
SHORT_TIME = re.compile(r"\d\d:\d\d:\d\d INFO  x")
OBJECT = re.compile(r'{"time": "\S+", "level": "INFO", "msg": "x"}')


def written(log_format: LogFormat, descriptor: int, environment: dict[str, str]) -> str:
    return formatter_for(log_format, descriptor, environment).format(record("x"))


@pytest.fixture
def terminal() -> Iterator[int]:
    controller, terminal = os.openpty()
    yield terminal
    os.close(terminal)
    os.close(controller)


def test_a_pipe_gets_text_and_no_colours(pipe: tuple[int, int]) -> None:
    assert TIMED_TEXT.fullmatch(written(LogFormat.AUTO, pipe[1], IN_COLOUR))


def test_a_terminal_gets_colours_if_it_has_them(terminal: int) -> None:
    assert "\x1b[32mINFO " in written(LogFormat.AUTO, terminal, IN_COLOUR)
    for environment in (IN_COLOUR | {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert SHORT_TIME.fullmatch(written(LogFormat.AUTO, terminal, environment))


def test_the_journal_gets_the_level_as_it_knows_it_and_no_time(pipe: tuple[int, int]) -> None:
    status = os.fstat(pipe[1])
    environment = {STREAM_VARIABLE: f"{status.st_dev}:{status.st_ino}"}
    assert written(LogFormat.AUTO, pipe[1], environment) == "<6>level=INFO msg=x"
    assert TIMED_TEXT.fullmatch(written(LogFormat.TEXT, pipe[1], environment).removeprefix("<6>"))
    assert OBJECT.fullmatch(written(LogFormat.JSON, pipe[1], environment).removeprefix("<6>"))


def test_a_format_that_was_asked_for_is_used_on_a_terminal_and_a_pipe(
    terminal: int, pipe: tuple[int, int]
) -> None:
    for descriptor in (terminal, pipe[1]):
        assert TIMED_TEXT.fullmatch(written(LogFormat.TEXT, descriptor, IN_COLOUR))
        assert OBJECT.fullmatch(written(LogFormat.JSON, descriptor, IN_COLOUR))
