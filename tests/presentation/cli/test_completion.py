"""The completion that the program prints, loaded into a real bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = shutil.which("bash")

# What bash does at <TAB>: it calls the function that was registered for the command, with the words so far.
AT_TAB = """
eval "$(tungo completion bash)"
COMP_WORDS=({words})
COMP_CWORD=$(({count} - 1))
registered=$(complete -p tungo)
completer=${{registered##*-F }}
"${{completer%% *}}" tungo "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which ``tungo`` is this program."""
    program = tmp_path / "tungo"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tungo "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def completed(path: str, *words: str) -> set[str]:
    script = AT_TAB.format(words=" ".join(f"'{word}'" for word in words), count=len(words))
    assert BASH
    outcome = subprocess.run(
        [BASH, "--norc", "-c", script],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return set(outcome.stdout.split())


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("tungo", "ser"), {"server"}),
        (("tungo", "server", "cl"), {"cleanup"}),
        (("tungo", "client", "--log-format", ""), {"auto", "text", "json"}),
        (("tungo", "client", "--kill"), {"--kill-switch"}),
    ],
)
def test_bash_completes_commands_options_and_values(
    path: str, words: tuple[str, ...], expected: set[str]
) -> None:
    assert completed(path, *words) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str, path: str) -> None:
    outcome = subprocess.run(
        ["tungo", "completion", shell],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert outcome.returncode == 0
    assert f"_TUNGO_COMPLETE=complete_{shell}" in outcome.stdout
