"""Network namespaces for tests: what happens in them, the host does not notice.

::

    with NetnsBed() as bed:
        left, right = bed.namespace("left"), bed.namespace("right")
        bed.join(left, ["10.9.0.1/24"], right, ["10.9.0.2/24"])
        left.run("ping", "-c1", "10.9.0.2")              # a program inside
        left.call(make_socket)                           # a function inside, in this process
        left.call_async(use_sockets)                     # a coroutine function inside, on a loop of its own

Everything is removed on exit, also after an exception. Needs root and iproute2.
"""

import asyncio
import ctypes
import functools
import itertools
import os
import re
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

import pytest

_T = TypeVar("_T")

_CLONE_NEWNET: Final = 0x40000000  # <linux/sched.h>
_NAMESPACES: Final = Path("/run/netns")
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

_PROJECT: Final = Path(__file__).parents[2]

_CHANGEABLE_SETTINGS: Final = (
    r"'^net\.ipv[46]\.(ip_forward|conf\..*\."
    r"(forwarding|src_valid_mark|rp_filter|accept_ra|accept_redirects|disable_ipv6))$'"
)

_NEXT_COMMAND: Final = "----"

# What a listing says about the time that it was made at: dates, and how many packets have passed.
_PASSING: Final = re.compile(r"^#.*\n| ?\[\d+:\d+\]| packets \d+ bytes \d+", re.MULTILINE)


class Namespace:
    """One network namespace; ``NetnsBed.namespace`` makes it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *command: str) -> str:
        """Standard output of a program inside; raises AssertionError with its words if it fails."""
        done = subprocess.run(self._inside(command), capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """A program running inside, its standard output a text pipe; the caller ends it.

        Python programs find the packages of this project, ``tests`` among them.
        """
        environment = os.environ | {"PYTHONPATH": f"{_PROJECT / 'src'}:{_PROJECT}"}
        return subprocess.Popen(self._inside(command), stdout=subprocess.PIPE, text=True, env=environment)

    def call(self, function: Callable[[], _T]) -> _T:
        """What ``function`` returns or raises, run inside on a thread of its own."""
        outcome: Future[_T] = Future()

        def enter_and_call() -> None:
            try:
                self._enter()
                outcome.set_result(function())
            except BaseException as exc:  # raised again by outcome.result()
                outcome.set_exception(exc)

        thread = threading.Thread(target=enter_and_call, name=self.name)
        thread.start()
        thread.join()
        return outcome.result()

    def call_async(self, function: Callable[[], Coroutine[None, None, _T]]) -> _T:
        """What the coroutine function returns or raises, run inside on an event loop of its own."""
        return self.call(lambda: asyncio.run(function()))

    def reaches(self, address: str) -> bool:
        """Whether ``address`` answers one ping from here within a second."""
        ping = self._inside(["ping", "-n", "-q", "-c1", "-W1", address])
        return subprocess.run(ping, capture_output=True, check=False, timeout=10).returncode == 0

    def snapshot(self) -> dict[str, str]:
        """All that a tunnel may change on a host: interfaces, routes, rules, firewall, kernel settings."""
        commands = (
            "ip -d addr",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip -4 rule",
            "ip -6 rule",
            "nft list ruleset",
            "iptables-save",
            "ip6tables-save",
            "iptables-legacy-save",
            "ip6tables-legacy-save",
            f"sysctl -a -e -r {_CHANGEABLE_SETTINGS}",
        )
        # In one go: a test may want many of these. `ip` asks the kernel about each name in its folder of
        # namespaces and complains of those that another test is just making or removing: it sees none here,
        # in the mount namespace that `ip netns exec` makes.
        hide_namespaces = f"mount -t tmpfs tmpfs {_NAMESPACES} && "
        script = hide_namespaces + f"; echo {_NEXT_COMMAND}; ".join(f"{command} 2>&1" for command in commands)
        shown = self.run("sh", "-c", script).split(f"{_NEXT_COMMAND}\n")
        return {
            _name_of(command): _PASSING.sub("", text) for command, text in zip(commands, shown, strict=True)
        }

    def _inside(self, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def _enter(self) -> None:
        """Move the calling thread into the namespace, for good."""
        fd = os.open(_NAMESPACES / self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _LIBC.setns(fd, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns to {self.name}")
        finally:
            os.close(fd)


class NetnsBed:
    """Makes namespaces and links between them; removes all of them on exit."""

    _serial = itertools.count()

    def __init__(self) -> None:
        self._namespaces: list[Namespace] = []
        self._links = itertools.count()

    def __enter__(self) -> "NetnsBed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._namespaces:
            _ip("netns", "delete", self._namespaces.pop().name)

    def namespace(self, label: str) -> Namespace:
        """A new namespace with its loopback up; ``label`` is for whoever reads ``ip netns``."""
        namespace = Namespace(f"tungo-test-{os.getpid()}-{next(self._serial)}-{label}")
        _ip("netns", "add", namespace.name)
        self._namespaces.append(namespace)
        namespace.run("ip", "link", "set", "lo", "up")
        return namespace

    def join(
        self, left: Namespace, left_addresses: Sequence[str], right: Namespace, right_addresses: Sequence[str]
    ) -> tuple[str, str]:
        """A cable between two namespaces; returns the interface names. IPv6 has the given addresses only."""
        number = next(self._links)
        ends = (f"veth{number}l", f"veth{number}r")
        _ip(
            *("link", "add", ends[0], "netns", left.name, "type", "veth"),
            *("peer", "name", ends[1], "netns", right.name),
        )
        sides = zip((left, right), ends, (left_addresses, right_addresses), strict=True)
        for namespace, interface, addresses in sides:
            # No link-local address: it would appear only after detection and upset comparisons.
            namespace.run("ip", "link", "set", interface, "addrgenmode", "none", "up")
            for address in addresses:
                nodad = ["nodad"] if ":" in address else []
                namespace.run("ip", "addr", "add", address, "dev", interface, *nodad)
        return ends


@pytest.fixture
def bed() -> Iterator[NetnsBed]:
    """A NetnsBed. Where the machine cannot have one the test is skipped, and fails in CI."""
    require_namespaces()
    with NetnsBed() as made:
        yield made


def require_namespaces() -> None:
    """Skip the test where the machine cannot have namespaces; in CI, fail."""
    missing = _what_is_missing()
    if missing and os.environ.get("CI"):
        pytest.fail(f"tests in network namespaces cannot run: {missing}")
    if missing:
        pytest.skip(f"NOT TESTED, tests in network namespaces cannot run: {missing}")


@functools.cache
def _what_is_missing() -> str:
    if os.geteuid() != 0:
        return "root is needed"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    with NetnsBed() as trial:
        try:
            trial.namespace("trial")
        except (AssertionError, OSError) as exc:
            return f"{exc}"
    return ""


def _name_of(command: str) -> str:
    """What a snapshot calls it."""
    return "sysctl" if command.startswith("sysctl") else command


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
