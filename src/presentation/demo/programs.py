"""The one door to other programs: how the demo finds, runs, starts and ends them."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from presentation.demo.errors import DemoError

# Where Debian keeps ip and nft; not on the PATH of every user.
_ADMINISTRATION_FOLDERS: Final = "/usr/sbin:/sbin"

# Debian's package for each command that the demo and the tunnel call.
PACKAGES: Final = {
    "ip": "iproute2",
    "nft": "nftables",
    "ping": "iputils-ping",
    "mount": "mount",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}

# Configuring a namespace takes milliseconds; ten seconds mean that something hangs.
QUICK_S: Final = 10.0
STOP_S: Final = 10.0


def environment() -> dict[str, str]:
    """The environment of what is started here: untranslated output, administration commands on the PATH."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{path}:{_ADMINISTRATION_FOLDERS}", "LC_ALL": "C.UTF-8"}


def find(command: str) -> str:
    """The path of ``command``. Raises DemoError naming the package to install."""
    found = shutil.which(command, path=environment()["PATH"])
    if found is None:
        raise DemoError(
            f"the command {command} is missing",
            advice=f"install it: apt-get install {PACKAGES.get(command, command)}",
        )
    return found


def run(command: str, *arguments: str, timeout_s: float = QUICK_S) -> str:
    """The standard output of ``command``. Raises DemoError with what it said if it fails or does not end."""
    status, output, error = attempt(command, *arguments, timeout_s=timeout_s)
    if status != 0:
        reason = (error or output).strip().splitlines()
        said = reason[-1] if reason else f"status {status}"
        raise DemoError(f"`{command} {' '.join(arguments)}` failed: {said}")
    return output


def attempt(command: str, *arguments: str, timeout_s: float = QUICK_S) -> tuple[int, str, str]:
    """Status, output and standard error of ``command``. Raises DemoError if it does not end in time."""
    argv = [find(command), *arguments]
    try:
        # Arguments are built here, never by a shell.
        outcome = subprocess.run(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"`{command} {' '.join(arguments)}` did not end within {timeout_s:.0f} s") from error
    return outcome.returncode, outcome.stdout, outcome.stderr


class Program:
    """A program in the background whose output goes to a file.

    It has a session of its own, so that Ctrl-C reaches the demo alone, which then ends it in order; and it
    is sent SIGTERM if the demo dies without getting that far.
    """

    def __init__(self, name: str, argv: Sequence[str], output: Path, cleanup: ExitStack) -> None:
        """Start ``argv``; ``cleanup`` ends it. Raises DemoError if it cannot be started."""
        self.name = name
        self._output = output
        shielded = [find("setpriv"), "--pdeathsig", "TERM", "--", *argv]
        with output.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 - as above
                shielded,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )
        cleanup.callback(self._end)

    @property
    def output(self) -> str:
        """All that it has written so far."""
        return self._output.read_text("utf-8", "replace")

    def last_lines(self, count: int) -> list[str]:
        """The end of what it has written."""
        return self.output.splitlines()[-count:]

    def check_running(self) -> None:
        """Raises DemoError if the program has ended."""
        status = self._process.poll()
        if status is not None:
            raise DemoError(f"the {self.name} ended by itself with status {status}")

    def peak_memory_bytes(self) -> int:
        """The most physical memory that it has used until now (VmHWM)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii", "replace")
        return parse_peak_memory(status)

    def wait(self, timeout_s: float) -> int:
        """Its exit status. Raises DemoError if it does not end in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"the {self.name} did not end within {timeout_s:.0f} s") from error

    def stop(self) -> None:
        """Ask it to shut down. Raises DemoError unless it ends in time and with status 0."""
        self.check_running()
        self._process.send_signal(signal.SIGTERM)
        status = self.wait(STOP_S)
        if status != 0:
            raise DemoError(f"the {self.name} ended with status {status} after SIGTERM")

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def parse_peak_memory(status: str) -> int:
    """VmHWM in bytes, from the text of ``/proc/<pid>/status``; 0 for a process that has ended."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    return 0
