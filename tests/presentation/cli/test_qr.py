"""QR codes in a terminal: what is drawn is what the library made."""

import io
import sys

import pytest
import segno

from presentation.cli.commands import CommandError
from presentation.cli.qr import QUIET_ZONE, qr_code

LIGHT_ABOVE, LIGHT_BELOW = frozenset("█▀"), frozenset("█▄")


def modules_of(code: str) -> list[list[bool]]:
    """Which modules are dark, the quiet zone included."""
    rows: list[list[bool]] = []
    for line in code.splitlines():
        rows.append([character not in LIGHT_ABOVE for character in line])
        rows.append([character not in LIGHT_BELOW for character in line])
    return rows


@pytest.mark.parametrize("length", [10, 200, 800])
def test_the_code_is_drawn_with_two_rows_in_a_line(length: int) -> None:
    text = "tungo://" + "aB3_" * (length // 4)
    drawn = modules_of(qr_code(text))
    expected = [
        [bool(module) for module in row]
        for row in segno.make_qr(text, error="L").matrix_iter(border=QUIET_ZONE)
    ]
    assert drawn[: len(expected)] == expected


def test_a_terminal_is_asked_for_the_colours_that_a_code_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = qr_code("tungo://x").splitlines()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    coloured = qr_code("tungo://x").splitlines()
    assert coloured == [f"\x1b[97;40m{line}\x1b[0m" for line in plain]


def test_a_text_that_is_too_long_is_told() -> None:
    with pytest.raises(CommandError, match="3000 characters are too many for a QR code"):
        qr_code("a" * 3000)


def test_a_terminal_without_the_characters_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    with pytest.raises(CommandError, match="latin-1 has no characters for a QR code"):
        qr_code("tungo://x")
