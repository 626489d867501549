"""Name servers for tests, and hosts with an /etc of their own to name them in."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.netns.bed import Namespace

# RFC 1035 section 4.1.1: identifier 2 | flags 2 | questions 2 | answers 2 | authorities 2 | additional 2
_HEADER_BYTES: Final = 12
_ANSWERED: Final = b"\x81\x80"
# Section 4.1.3: a pointer to the name in the question | type A | class IN | seconds | 4 bytes of address
_ANSWER: Final = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04"
_TYPE_A_IN: Final = b"\x00\x01\x00\x01"

_DNS_PORT: Final = 53
_POLL_S: Final = 0.1
_LOOKUP_S: Final = 20

_LOOK_UP: Final = """
import socket, sys
try:
    print(socket.getaddrinfo(sys.argv[1], 0, socket.AF_INET)[0][4][0])
except OSError as error:
    print(error.strerror)
"""

# What programs read there to ask for a name at all.
_ETC: Final = ("passwd", "group", "hosts", "ld.so.cache")


@contextmanager
def name_server(namespace: Namespace, address: str, names: Mapping[str, str]) -> Iterator[None]:
    """On ``address`` of ``namespace``; knows IPv4 addresses alone."""

    def open_socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, _DNS_PORT))
        made.settimeout(_POLL_S)
        return made

    ending = threading.Event()
    with namespace.call(open_socket) as server:
        serving = threading.Thread(target=partial(_serve, server, names, ending))
        serving.start()
        try:
            yield
        finally:
            ending.set()
            serving.join()


def _serve(server: socket.socket, names: Mapping[str, str], ending: threading.Event) -> None:
    while not ending.is_set():
        try:
            question, source = server.recvfrom(512)
            server.sendto(_answer_to(question, names), source)
        except TimeoutError:
            continue
        except OSError:
            continue  # the way back to whoever asked is gone


def _answer_to(question: bytes, names: Mapping[str, str]) -> bytes:
    labels, offset = [], _HEADER_BYTES
    while length := question[offset]:
        labels.append(question[offset + 1 : offset + 1 + length].decode())
        offset += 1 + length
    end = offset + 1 + len(_TYPE_A_IN)
    address = names.get(".".join(labels).lower())
    is_known = address is not None and question[offset + 1 : end] == _TYPE_A_IN
    answers = _ANSWER + socket.inet_aton(address) if is_known and address is not None else b""
    counts = bytes((0, 1, 0, int(is_known), 0, 0, 0, 0))
    return question[:2] + _ANSWERED + counts + question[_HEADER_BYTES:end] + answers


class HostWithEtc:
    """A namespace whose programs find ``etc`` as /etc, and there ``resolv.conf``.

    With ``resolv_conf_is_mount`` that file is a mount of its own, as in a container.
    """

    def __init__(self, namespace: Namespace, etc: Path, *, resolv_conf_is_mount: bool = False) -> None:
        self.namespace = namespace
        self.etc = etc
        self.resolv_conf = etc / "resolv.conf"
        self.resolv_conf_is_mount = resolv_conf_is_mount
        self._mount = 'mount --bind "$0/resolv.conf" "$0/resolv.conf" && ' if resolv_conf_is_mount else ""
        etc.mkdir()
        for name in _ETC:
            if (Path("/etc") / name).exists():
                shutil.copy(Path("/etc") / name, etc / name)
        (etc / "nsswitch.conf").write_text("hosts: files dns\n")

    def command(self, *command: str) -> list[str]:
        """The command line that runs ``command`` inside; the process of ``ip`` becomes that of it."""
        # `ip netns exec` has mounts of its own, and what is mounted there is mounted nowhere else. With
        # --rbind, the mount below comes along.
        script = f'{self._mount}mount --rbind "$0" /etc && exec "$@"'
        inside = ["ip", "netns", "exec", self.namespace.name, "sh", "-c", script, str(self.etc)]
        return [*inside, *command]

    def look_up(self, name: str) -> str:
        """The IPv4 address that programs get for ``name``, or what they get to hear instead."""
        done = subprocess.run(
            self.command(sys.executable, "-c", _LOOK_UP, name),
            capture_output=True,
            text=True,
            check=True,
            timeout=_LOOKUP_S,
            env=os.environ | {"RES_OPTIONS": "timeout:1 attempts:1"},  # a dead one is not asked for long
        )
        return done.stdout.strip()
