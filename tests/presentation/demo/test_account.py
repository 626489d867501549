import io

import pytest

from presentation.demo.account import Account


class Stream(io.TextIOWrapper):
    """Text with an encoding, on a terminal or not."""

    def __init__(self, encoding: str, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding, newline="\n")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        """All that was written."""
        self.seek(0)
        return self.read()


def told(stream: Stream) -> list[str]:
    account = Account(stream)
    account.begin("transfer")
    account.passed("8 MiB")
    account.begin("a longer title")
    account.failed("too slow")
    return stream.text().split("\n")[:-1]


def test_in_a_file_each_step_is_one_aligned_line() -> None:
    assert told(Stream("utf-8", terminal=False)) == [
        "✓  transfer        8 MiB",
        "✗  a longer title  too slow",
    ]


def test_without_utf_8_the_marks_are_words() -> None:
    lines = told(Stream("ascii", terminal=False))
    assert lines == ["ok      transfer        8 MiB", "FAILED  a longer title  too slow"]


def test_on_a_terminal_a_step_shows_before_it_ends_and_is_overwritten() -> None:
    stream = Stream("utf-8", terminal=True)
    told(stream)
    assert stream.text().startswith("   transfer        ...\r\x1b[K✓  transfer        8 MiB\n")


def test_a_failure_between_steps_has_no_line_of_its_own() -> None:
    stream = Stream("utf-8", terminal=False)
    account = Account(stream)
    account.begin("stop")
    account.failed("no")
    account.failed("again")
    assert stream.text() == "✗  stop            no\n"


@pytest.mark.parametrize(
    ("lines", "shown"), [(["one", "zwölf"], "    one\n    zw\\xf6lf"), ([], "    (nothing)")]
)
def test_an_excerpt_is_indented_and_encodable(lines: list[str], shown: str) -> None:
    stream = Stream("ascii", terminal=False)
    Account(stream).excerpt("The last lines:", lines)
    assert stream.text() == f"\nThe last lines:\n{shown}\n"
