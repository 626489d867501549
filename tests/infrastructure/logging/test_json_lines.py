import json
import logging
import math

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.logging.entry import FIELDS_ATTRIBUTE, LONGEST_LINE_BYTES
from infrastructure.logging.json_lines import JsonFormatter


def record(message: str, fields: dict[str, object]) -> logging.LogRecord:
    made = logging.LogRecord("tungo.test", logging.INFO, __file__, 1, message, None, None)
    setattr(made, FIELDS_ATTRIBUTE, fields)
    return made


def line(message: str, **fields: object) -> str:
    return JsonFormatter().format(record(message, fields))


def test_a_record_is_one_object_with_time_level_message_and_fields() -> None:
    written = json.loads(line("client connected", client_id=7, name="größe", delay_s=1.23456, up=True))
    assert written.pop("time").count(":") == 3  # with a zone
    assert written == {
        "level": "INFO",
        "msg": "client connected",
        "client_id": 7,
        "name": "größe",
        "delay_s": 1.235,
        "up": True,
    }
    assert list(json.loads(line("x", a=1))) == ["time", "level", "msg", "a"]


@given(message=st.text(), name=st.text(min_size=1), value=st.text())
def test_whatever_is_in_it_a_line_is_one_printable_object(message: str, name: str, value: str) -> None:
    written = JsonFormatter().format(record(message, {name: value}))
    assert written.isascii()
    assert written.isprintable()
    assert len(json.loads(written)) >= 3


def test_a_field_cannot_pass_for_the_level_or_the_message() -> None:
    written = json.loads(JsonFormatter().format(record("kept", {"level": "ERROR", "msg": "forged"})))
    assert (written["level"], written["msg"]) == ("INFO", "kept")


def test_numbers_that_json_does_not_have_are_texts() -> None:
    assert json.loads(line("x", a=math.inf, b=math.nan)) | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "msg": "x",
        "a": "inf",
        "b": "nan",
    }


def test_a_long_record_is_still_an_object_with_every_field() -> None:
    written = line("m" * 5000, **{f"k{number}": "\U0001f600" * 5000 for number in range(9)})
    assert len(written) <= LONGEST_LINE_BYTES
    read = json.loads(written)
    assert set(read) == {"time", "level", "msg", *(f"k{number}" for number in range(9))}
    assert read["k0"].endswith("...")
