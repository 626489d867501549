"""A QR code in a terminal, two rows of it in a line of text."""

import sys
from io import StringIO
from typing import Final

from presentation.cli.commands import CommandError

QUIET_ZONE: Final = 2  # half of what the standard asks for, and enough for a code on a screen

# Light modules are drawn, dark ones are not: right on a dark background, and so one is asked for.
_WHITE_ON_BLACK: Final = "\x1b[97;40m"
_AS_BEFORE: Final = "\x1b[0m"


def qr_code(text: str) -> str:
    """The code of ``text`` as lines.

    Raises CommandError if it is too long for one, or if standard output cannot show one.
    """
    # Of use to one option of three commands.
    import segno  # noqa: PLC0415

    try:
        code = segno.make_qr(text, error="L")
    except segno.DataOverflowError as error:
        raise CommandError(f"{len(text)} characters are too many for a QR code; use the link") from error
    drawn = StringIO()
    code.terminal(drawn, border=QUIET_ZONE, compact=True)
    try:
        drawn.getvalue().encode(sys.stdout.encoding)
    except UnicodeEncodeError as error:
        raise CommandError(f"{sys.stdout.encoding} has no characters for a QR code; use the link") from error
    lines = drawn.getvalue().splitlines()
    if sys.stdout.isatty():
        lines = [f"{_WHITE_ON_BLACK}{line}{_AS_BEFORE}" for line in lines]
    return "\n".join(lines)
