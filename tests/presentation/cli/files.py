"""The command line over real files: what the program does in a folder of configurations."""

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from presentation.cli.app import build_app
from tests.vectors import JsonObject
from tungo.__main__ import LOADERS

NOBODY = 65534

APP = build_app(LOADERS, "1.2.3")


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    """``tungo`` with these arguments."""
    return CliRunner().invoke(APP, [str(argument) for argument in arguments], input=stdin)


def run_json(*arguments: str | Path) -> JsonObject:
    """What ``tungo`` prints with --json, if it succeeds."""
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    parsed: JsonObject = json.loads(result.stdout)
    return parsed


def run_as_nobody(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """``tungo`` as a process of a user who has no rights, not even to the interpreter's own files."""
    program = (
        "import os, sys, tungo.configurations, tungo.files, tungo.peers\n"
        "from tungo.__main__ import main\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def entries(found: JsonObject, key: str) -> list[JsonObject]:
    """The list of objects under ``key``."""
    items = found[key]
    assert isinstance(items, list)
    return [item for item in items if isinstance(item, dict)]
