from collections.abc import Callable

import pytest
from typer.testing import Result

from presentation.cli.commands import CommandError, ExitStatus
from presentation.cli.report import DEBUG_VARIABLE
from tests.adapters.commands import RecordedCommands

Tungo = Callable[[str], Result]


def test_an_unexpected_error_is_one_sentence_too(tungo: Tungo, commands: RecordedCommands) -> None:
    commands.failure = LookupError("no such thing")
    result = tungo("client")
    assert result.exit_code == 1
    assert result.stderr == "tungo: unexpected LookupError: no such thing (TUNGO_DEBUG=1 shows where)\n"


def test_an_unexpected_want_of_rights_has_its_status(tungo: Tungo, commands: RecordedCommands) -> None:
    commands.failure = PermissionError("not yours")
    assert tungo("client").exit_code == ExitStatus.NO_RIGHTS


@pytest.mark.parametrize("failure", [LookupError("no such thing"), CommandError("no such thing")])
def test_with_debugging_the_traceback_comes_first(
    failure: Exception, tungo: Tungo, commands: RecordedCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    commands.failure = failure
    lines = tungo("client").stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("tungo: ")
    assert lines[-1].endswith("no such thing")


def test_a_message_cannot_break_its_line_or_move_the_cursor(tungo: Tungo, commands: RecordedCommands) -> None:
    commands.failure = CommandError("bad name: \x1b[2J\nroot#")
    assert tungo("client").stderr == "tungo: bad name: \\x1b[2J root#\n"
