import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from presentation.demo.errors import DemoError
from presentation.demo.programs import Program, find, parse_peak_memory, run


def start(code: str, folder: Path, cleanup: ExitStack) -> Program:
    return Program("test program", [sys.executable, "-c", code], folder / "log", cleanup)


def test_a_command_that_is_missing_names_its_package() -> None:
    with pytest.raises(DemoError, match="no-such-command is missing") as caught:
        find("no-such-command")
    assert caught.value.advice == "install it: apt-get install no-such-command"


def test_a_command_that_fails_is_quoted_with_its_last_words() -> None:
    with pytest.raises(DemoError, match=r"^`sh -c echo no >&2; exit 3` failed: no$"):
        run("sh", "-c", "echo no >&2; exit 3")


def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(DemoError, match="did not end"):
        run("sleep", "30", timeout_s=0.05)


def test_stopping_is_a_request_and_its_status_counts(tmp_path: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit({status}));"
        "print('ready', flush=True); signal.pause()"
    )
    for status in (0, 3):
        with ExitStack() as cleanup:
            program = start(code.format(status=status), tmp_path, cleanup)
            while "ready" not in program.output:
                program.check_running()
            if status == 0:
                program.stop()
            else:
                with pytest.raises(DemoError, match="status 3 after SIGTERM"):
                    program.stop()


def test_a_program_that_ends_by_itself_is_noticed_and_its_last_lines_are_kept(tmp_path: Path) -> None:
    with ExitStack() as cleanup:
        program = start("import sys; print('a\\nb', flush=True); sys.exit('c')", tmp_path, cleanup)
        assert program.wait(20) == 1
        with pytest.raises(DemoError, match="ended by itself with status 1"):
            program.check_running()
        assert program.last_lines(2) == ["b", "c"]


def test_leaving_ends_what_still_runs(tmp_path: Path) -> None:
    with ExitStack() as cleanup:
        program = start("import signal; signal.pause()", tmp_path, cleanup)
        assert program.peak_memory_bytes() > 0
    with pytest.raises(DemoError, match="ended by itself"):
        program.check_running()


def test_peak_memory_is_in_bytes() -> None:
    assert parse_peak_memory("VmPeak:\t  9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t 7 kB\n") == 2 * 1024 * 1024
    assert parse_peak_memory("State:\tZ (zombie)\n") == 0
