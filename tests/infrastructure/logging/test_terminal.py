import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.logging.entry import FIELDS_ATTRIBUTE
from infrastructure.logging.terminal import TerminalFormatter, shows_colours

SELECT_RENDITION = re.compile("\x1b\\[[0-9;]+m")


def line(message: str, level: int = logging.INFO, *, coloured: bool = True, **fields: object) -> str:
    record = logging.LogRecord("tungo.test", level, __file__, 1, message, None, None)
    setattr(record, FIELDS_ATTRIBUTE, fields)
    return TerminalFormatter(coloured=coloured).format(record)


def test_a_line_is_a_short_time_the_level_the_message_and_the_fields() -> None:
    written = line("tunnel is up", coloured=False, interface="c_udptun0", name="a b")
    assert re.fullmatch(r'\d\d:\d\d:\d\d INFO  tunnel is up  interface=c_udptun0 name="a b"', written)


def test_levels_stand_in_one_column() -> None:
    columns = {line("x", level, coloured=False).index(" x") for level in (10, 20, 30, 40)}
    assert len(columns) == 1


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (logging.INFO, "\x1b[32mINFO \x1b[0m"),
        (logging.WARNING, "\x1b[33mWARN \x1b[0m"),
        (logging.ERROR, "\x1b[1;31mERROR\x1b[0m"),
    ],
)
def test_the_level_has_a_colour_and_names_are_dim(level: int, shown: str) -> None:
    written = line("x", level, interface="tun0")
    assert f" {shown} x  \x1b[2minterface=\x1b[0mtun0" in written


@given(message=st.text(), value=st.text())
def test_nothing_in_a_record_can_colour_or_end_its_line(message: str, value: str) -> None:
    written = line(message, coloured=True, name=value)
    assert SELECT_RENDITION.sub("", written).isprintable()
    assert len(SELECT_RENDITION.findall(written)) == 6


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_colours_are_for_terminals_that_have_them_and_users_who_want_them(
    environment: dict[str, str], expected: bool
) -> None:
    assert shows_colours(environment) is expected
