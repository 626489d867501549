"""The program as it is started: ``python -m tungo``."""

import resource
import subprocess
import sys

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


def test_help_takes_little_longer_than_the_library_that_prints_it() -> None:
    # In seconds of the processor, one beside the other: others that are at work here slow both down.
    for _ in range(5):
        library = processor_seconds_of("-c", "import typer")
        if processor_seconds_of("-m", "tungo", "--help") < 2.2 * library:
            return
    pytest.fail("in five of five runs")


def processor_seconds_of(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, timeout=30, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
