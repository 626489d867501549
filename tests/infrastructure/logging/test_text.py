import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.runtime.log import LogValue
from infrastructure.logging.entry import LONGEST_VALUE_CHARACTERS
from infrastructure.logging.text import TextEventLog, TextFormatter, render_value
from tests.infrastructure.logging.recorder import Recorder


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("tungo.test", level, __file__, 1, message, None, None)


def rendered(message: str, level: int = logging.INFO) -> str:
    return TextFormatter().format(record(message, level))


def test_a_record_is_time_level_and_message() -> None:
    assert re.fullmatch(
        r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d level=INFO msg="tunnel is up"',
        rendered("tunnel is up"),
    )


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (logging.DEBUG, "DEBUG"),
        (logging.INFO, "INFO"),
        (logging.WARNING, "WARN"),
        (logging.ERROR, "ERROR"),
        (logging.CRITICAL, "ERROR"),
    ],
)
def test_levels_have_the_names_of_the_specification(level: int, name: str) -> None:
    assert f" level={name} msg=x" in rendered("x", level)


def test_fields_follow_in_the_order_of_the_call() -> None:
    with Recorder() as recorder:
        TextEventLog("tungo.test").info("client registered", client=7, address="192.0.2.2:4711", name="a b")
    assert recorder.lines[0].endswith(' msg="client registered" client=7 address=192.0.2.2:4711 name="a b"')


def test_each_method_writes_its_own_level() -> None:
    log = TextEventLog("tungo.test")
    with Recorder() as recorder:
        log.info("a")
        log.warning("b")
        log.error("c")
    assert [line.split(" ", 1)[1] for line in recorder.lines] == [
        "level=INFO msg=a",
        "level=WARN msg=b",
        "level=ERROR msg=c",
    ]


def test_a_per_cent_sign_in_a_message_is_text() -> None:
    with Recorder() as recorder:
        TextEventLog("tungo.test").info("100%s", loss="5%d")
    assert recorder.lines[0].endswith("msg=100%s loss=5%d")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("C:\\x", r'"C:\\x"'),
        ("line\nlevel=ERROR", r'"line\nlevel=ERROR"'),
        ("\x1b[2J", r'"\u001b[2J"'),
        ("\u202egnp", r'"\u202egnp"'),
        ("\udc80", r'"\udc80"'),
        ("größe", "größe"),
        (7, "7"),
        (1.23456, "1.235"),
        (True, "true"),
    ],
)
def test_values_are_quoted_where_they_would_be_ambiguous(value: LogValue, text: str) -> None:
    assert render_value(value) == text


@given(st.text())
def test_no_value_can_leave_its_place(value: str) -> None:
    text = render_value(value)
    assert text.isprintable()
    text.encode()
    if not text.startswith('"'):
        assert not set(text) & set(' "=\\')
    else:
        assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', text)


def test_a_long_value_is_cut() -> None:
    assert render_value("x" * 5000) == "x" * LONGEST_VALUE_CHARACTERS + "..."


def failure(text: str) -> logging.LogRecord:
    broken = record("failed", logging.ERROR)
    error = RuntimeError(text)
    broken.exc_info = (RuntimeError, error, error.__traceback__)
    return broken


def test_an_exception_is_named_on_the_same_line() -> None:
    logging.getLogger("tungo.test").setLevel(logging.INFO)
    line = TextFormatter().format(failure("no\nroute"))
    assert line.endswith(r'msg=failed err="RuntimeError: no\nroute"')


def test_at_debug_level_the_traceback_follows_on_the_same_line() -> None:
    logging.getLogger("tungo.test").setLevel(logging.DEBUG)
    try:
        line = TextFormatter().format(failure("no\nroute"))
    finally:
        logging.getLogger("tungo.test").setLevel(logging.NOTSET)
    assert line.endswith(r'err="RuntimeError: no\nroute" trace="RuntimeError: no\nroute"')
