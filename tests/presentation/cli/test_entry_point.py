"""The program as it is started: ``python -m tungo``."""

import subprocess
import sys
import time

import pytest


def tungo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tungo", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_version_names_program_and_version() -> None:
    outcome = tungo("version")
    assert outcome.returncode == 0
    name, version = outcome.stdout.split()
    assert name == "tungo"
    assert version[0].isdigit()


def test_wrong_usage_ends_with_status_2_and_names_the_program() -> None:
    outcome = tungo("nonsense")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("Usage: tungo ")


def test_no_arguments_are_wrong_usage_and_show_the_commands() -> None:
    outcome = tungo()
    assert outcome.returncode == 2
    assert "server" in outcome.stderr


@pytest.mark.parametrize("line", ["version", "--help"])
def test_what_only_prints_imports_no_part_of_the_tunnel(line: str) -> None:
    program = (
        "import sys\nfrom tungo.__main__ import main\nsys.argv[1:] = [sys.argv[1]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'asyncio', 'cryptography', 'pyroute2', 'dependency_injector', 'rich'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program, line], capture_output=True, text=True, timeout=30, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


@pytest.mark.parametrize("line", ["version", "--help"])
def test_what_only_prints_is_quick(line: str) -> None:
    durations = []
    for _ in range(3):
        started = time.perf_counter()
        assert tungo(line).returncode == 0
        durations.append(time.perf_counter() - started)
    # Three times what an idle machine takes; the fastest of three, because others may be at work here.
    assert min(durations) < 0.5
