"""``tungo`` as a process in a network namespace."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.netns.bed import Namespace

# A start takes about a second; the rest is for a busy machine.
START_S: Final = 15.0
STOP_S: Final = 10.0

_POLL_S: Final = 0.05
_PROJECT: Final = Path(__file__).parents[2]


class Tungo:
    """One ``tungo server`` or ``tungo client``; what it writes goes to a file."""

    def __init__(
        self, namespace: Namespace, role: str, folder: Path, log_file: Path, below: Sequence[str] = ()
    ) -> None:
        """Start it with the configuration in ``folder``; the caller ends it.

        ``below`` is a command that starts it inside of the network namespace.
        """
        self._log_file = log_file
        with log_file.open("wb") as output:
            self._process = subprocess.Popen(
                tungo_inside(namespace, role, "--config-dir", str(folder), below=below),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=program_environment(),
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self._log_file.read_text("utf-8")

    def await_log(self, text: str, within_s: float = START_S) -> None:
        """Return when ``text`` stands in the log. Raises AssertionError with the log if it never does."""
        eventually(lambda: text in self.log or not self.is_running, within_s)
        assert text in self.log, f"{text!r} is not in this log:\n{self.log}"

    def resident_bytes(self) -> int:
        """The physical memory that it uses now (VmRSS)."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text("ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "VmRSS":
                return int(value.split()[0]) * 1024
        raise AssertionError(f"process {self._process.pid} has ended:\n{self.log}")

    def open_descriptors(self) -> int:
        """How many descriptors it has open now."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self) -> tuple[int, float]:
        """Ask it to end; its exit status and the seconds that it took."""
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_S)
        finally:
            self.kill()
        return status, time.monotonic() - started

    def kill(self) -> None:
        """End it without giving it the chance to clean up; nothing happens if it has ended."""
        self._process.kill()
        self._process.wait()


def tungo_inside(namespace: Namespace, *arguments: str, below: Sequence[str] = ()) -> list[str]:
    """The command line of ``tungo`` in a namespace; the process of ``ip`` becomes that of ``tungo``.

    ``below`` is a command that starts it inside of the namespace.
    """
    inside = [_found("ip"), "netns", "exec", namespace.name, *below]
    return [*inside, sys.executable, "-m", "tungo", *arguments]


def run_tungo(
    namespace: Namespace,
    *arguments: str,
    around: Sequence[str] = (),
    below: Sequence[str] = (),
    within_s: float = 2 * STOP_S,
    **environment: str,
) -> "subprocess.CompletedProcess[str]":
    """Run ``tungo`` in a namespace to its end.

    ``around`` is a command that starts it outside of the namespace, ``below`` one inside. Raises
    subprocess.TimeoutExpired if it does not end.
    """
    return subprocess.run(
        [*around, *tungo_inside(namespace, *arguments, below=below)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
        env=program_environment() | environment,
    )


def program_environment() -> dict[str, str]:
    """The environment of this process, with the packages of this project to be found by Python."""
    paths = [str(_PROJECT / "src"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": ":".join(filter(None, reversed(paths)))}


def eventually(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether ``condition`` comes true in time; it is asked every 50 ms, and at least once."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _found(program: str) -> str:
    """Its full path: a test may give ``tungo`` a PATH without it."""
    path = shutil.which(program)
    assert path is not None, f"{program} is not installed"
    return path
