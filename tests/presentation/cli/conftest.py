"""The command line over recorded commands."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from presentation.cli.app import build_app
from presentation.cli.options import CONFIG_DIR_VARIABLE
from presentation.cli.report import DEBUG_VARIABLE
from tests.adapters.commands import RecordedCommands, loaders_of


@pytest.fixture
def commands() -> RecordedCommands:
    return RecordedCommands()


@pytest.fixture
def tungo(commands: RecordedCommands, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Result]:
    """Runs ``tungo`` with a line of arguments."""
    monkeypatch.delenv(CONFIG_DIR_VARIABLE, raising=False)
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    app = build_app(loaders_of(commands), "1.2.3")

    def run(line: str) -> Result:
        return CliRunner().invoke(app, line.split())

    return run
