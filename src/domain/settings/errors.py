"""What is wrong with a configuration, as values that a user interface can word and place.

Errors::

    SettingsError (a ValueError)   the settings break rules; holds every Problem, never only the first
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

SHOWN_CHARACTERS = 60  # long enough for every valid value, short enough for one line of a terminal

# A run this long of base64 characters may be a 32-byte key (44 characters) pasted into the wrong field.
_MAY_BE_A_KEY = re.compile(r"[A-Za-z0-9+/_-]{40,}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule broken by one value.

    ``path`` is where the value stands in the JSON document (``UDPSettings.MTU``,
    ``AllowedPeers[2].ClientID``). ``value`` is its text for people, made by ``shown`` so that no key is
    in it. ``expected`` completes the sentence "expected ...". ``related`` holds the paths of the other
    values that the rule looked at.
    """

    path: str
    value: str
    expected: str
    related: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Where, what and what instead, without a full stop."""
        return f"{self.path} is {self.value}, expected {self.expected}"

    def concerns(self, path: str) -> bool:
        """Whether the rule looked at the value at ``path``, at a part of it or at what contains it."""
        return any(_overlap(mine, path) for mine in (self.path, *self.related))


class SettingsError(ValueError):
    """The settings break the rules of platform specification 6; ``problems`` is never empty."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.sentence for problem in self.problems))


def shown(value: object) -> str:
    """``value`` as a message may show it: short, on one line, and nothing that may be a key."""
    match value:
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case dict():
            text = "an object"
        case list() | tuple():
            text = "a list"
        case bytes():
            text = f"{len(value)} bytes"
        case str() if _MAY_BE_A_KEY.search(value):
            text = "a text that may be a key"
        case _:
            text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _overlap(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return longer == shorter or longer.startswith((f"{shorter}.", f"{shorter}["))
