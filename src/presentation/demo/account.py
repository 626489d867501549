"""The account of the demo: one aligned line per step."""

import textwrap
from collections.abc import Sequence
from typing import Final, TextIO

TITLE_COLUMNS: Final = 14


class Account:
    """Writes to ``stream``: check marks where its encoding has them, ``ok`` and ``FAILED`` elsewhere.

    On a terminal a step is shown as soon as it begins and overwritten when it has ended.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._passed, self._failed = _marks(stream.encoding or "ascii")
        self._open_title = ""

    def headline(self, text: str) -> None:
        """A line of its own above the steps."""
        self._write(f"{text}\n\n")

    def begin(self, title: str) -> None:
        """The step ``title`` runs from now on."""
        self._open_title = title
        if self._live:
            self._write(f"{'':{len(self._passed)}}  {title:<{TITLE_COLUMNS}}  ...")

    def passed(self, detail: str) -> None:
        """The step that runs has worked; ``detail`` says what was seen."""
        self._end(self._passed, detail)

    def failed(self, detail: str) -> None:
        """The step that runs, if any, has failed."""
        self._end(self._failed, detail)

    def excerpt(self, heading: str, lines: Sequence[str]) -> None:
        """``lines`` of somebody else's output, indented below ``heading``."""
        body = textwrap.indent("\n".join(lines) or "(nothing)", "    ")
        self._write(f"\n{heading}\n{self._encodable(body)}\n")

    def closing(self, text: str) -> None:
        """A line of its own below the steps."""
        self._write(f"\n{text}\n")

    def _end(self, mark: str, detail: str) -> None:
        if self._open_title:
            start = "\r\x1b[K" if self._live else ""
            self._write(f"{start}{mark}  {self._open_title:<{TITLE_COLUMNS}}  {detail}\n")
            self._open_title = ""

    def _encodable(self, text: str) -> str:
        encoding = self._stream.encoding or "ascii"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _marks(encoding: str) -> tuple[str, str]:
    try:
        "\u2713\u2717".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "ok    ", "FAILED"
    return "\u2713", "\u2717"
