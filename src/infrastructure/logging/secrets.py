"""The last line of defence of secrets against the log: whatever looks like one does not pass.

No call site logs a key, and errors do not quote them. This is for the day on which one does by mistake. It
cannot tell a private key from a public one, and so keeps both out: a client is known by its number and name.
"""

import re
from typing import Final

from application.runtime.log import LogValue

REMOVED: Final = "[removed]"

# The ways in which 32 bytes get into a text; a run of characters that is longer is no key. The 43rd character
# of such a base64 text carries four bits, the last two are zero.
_BASE64: Final = r"(?<![0-9A-Za-z+/_-])[0-9A-Za-z+/_-]{42}[AEIMQUYcgkosw048](?:=|(?![0-9A-Za-z+/_=.-]))"
# A certificate's digest may be shown, and says what it is.
_HEXADECIMAL: Final = r"(?<!SHA-256 is )(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}(?![0-9A-Fa-f])"
_NUMBERS: Final = r"(?<!\d)(?:\d{1,3}[, ]{1,2}){31}\d{1,3}(?!\d)"
_PYTHON_BYTES: Final = r"""\bb'(?:[^'\\]|\\.)*'|\bb"(?:[^"\\]|\\.)*\""""

_PEM: Final = r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
_LINK: Final = r"tungo://\S+"  # a whole client configuration

_SECRETS: Final = re.compile(
    "|".join((_BASE64, _HEXADECIMAL, _NUMBERS, _PYTHON_BYTES, _PEM, _LINK)), re.DOTALL
)


_SHORTEST: Final = len("tungo://")


def without_secrets(text: str) -> str:
    """``text`` with REMOVED in the place of whatever may be a key."""
    return text if len(text) < _SHORTEST else _SECRETS.sub(REMOVED, text)


def presentable(value: object) -> LogValue:
    """``value`` as a log may show it; of what is neither a text nor a number only the type.

    Bytes are keys or packets, and an object's representation is whatever its class makes of it.
    """
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, int | float):
        return value
    return f"<{type(value).__name__}>"
