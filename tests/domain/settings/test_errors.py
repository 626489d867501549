"""Problems: what they tell, and what they never tell."""

import base64

import pytest

from domain.settings.errors import SHOWN_CHARACTERS, Problem, SettingsError, shown


def test_a_problem_is_a_sentence_about_a_place_a_value_and_an_expectation() -> None:
    problem = Problem("UDPSettings.MTU", "9000", "576 to 1500 bytes")
    assert problem.sentence == "UDPSettings.MTU is 9000, expected 576 to 1500 bytes"


def test_the_error_tells_every_problem() -> None:
    error = SettingsError([Problem("A", "1", "2"), Problem("B", "3", "4")])
    assert str(error) == "A is 1, expected 2; B is 3, expected 4"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (9090.5, "9090.5"),
        ({"X25519PrivateKey": "secret"}, "an object"),
        (["secret"], "a list"),
        (b"secret", "6 bytes"),
        ("a\nb\x1b[2J", r"'a\nb\x1b[2J'"),
    ],
)
def test_values_are_shown_short_and_on_one_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_long_value_is_cut() -> None:
    assert len(shown("ab " * 1000)) == SHOWN_CHARACTERS + len("...")


def test_a_key_in_the_wrong_place_is_not_shown() -> None:
    key = base64.b64encode(bytes(range(200, 232))).decode()
    for text in (key, f" {key}\n", key.rstrip("=")):
        assert shown(text) == "a text that may be a key"


def test_a_problem_concerns_what_it_looked_at_and_what_is_inside_or_around_it() -> None:
    problem = Problem("UDPSettings.Port", "1", "2", related=("TCPSettings.Port",))
    for path in ("UDPSettings.Port", "UDPSettings", "TCPSettings.Port", "UDPSettings.Port.Part"):
        assert problem.concerns(path)
    for path in ("UDPSettings.MTU", "UDPSettings.Po", "UDP", "WSSettings"):
        assert not problem.concerns(path)
