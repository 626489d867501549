"""What stands in a resolv.conf, and who wrote it.

A file of ours begins with its author and what becomes of it::

    # TunGo client (process 4711, started 88210, boot e7334657-...): the name servers of its tunnel.
    # What was here is kept in /etc/resolv.conf.before-tungo; `tungo client cleanup` puts it back.

The author tells apart what a running client needs from what a killed one left, also where the journal is
gone: /run does not outlast a power cut, and /etc does.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, TypeAlias

from infrastructure.pal.linux.namespace import KernelState

NameServer: TypeAlias = IPv4Address | IPv6Address

_AUTHOR: Final = re.compile(rb"# TunGo client \(process (\d+), started (\d+), boot ([\w-]*)\)")

# What resolv.conf(5) says beside the name servers stays as it is.
_KEPT: Final = frozenset({"search", "domain", "options", "sortlist"})
# But for this: it was said of other name servers.
_ABOUT_THE_SERVERS: Final = "trust-ad"

# Of proc_pid_stat(5), counted behind the name of the program.
_STATE: Final = 0
_START_TIME: Final = 19
_DEAD: Final = frozenset({"Z", "X"})


@dataclass(frozen=True, slots=True)
class Author:
    """A process, which no later one is mistaken for."""

    process: int
    started: int
    boot: str

    @classmethod
    def myself(cls) -> "Author":
        """This process."""
        return cls(os.getpid(), _start_time(os.getpid()) or 0, KernelState.current().boot)

    @classmethod
    def of(cls, content: bytes) -> "Author | None":
        """Which TunGo wrote ``content``; None if it was somebody else."""
        found = _AUTHOR.match(content)
        return found and cls(int(found[1]), int(found[2]), found[3].decode())

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return KernelState.current().boot == self.boot and _start_time(self.process) == self.started


def name_servers(content: bytes) -> list[str]:
    """Those that programs are told to ask, as they are written."""
    lines = [line.split() for line in content.decode(errors="replace").splitlines()]
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def composed(servers: Sequence[NameServer], before: bytes, fate: str) -> bytes:
    """A file of this process with ``resolver_lines``.

    ``fate`` is the sentence about what stood in its place.
    """
    author = Author.myself()
    signature = f"process {author.process}, started {author.started}, boot {author.boot}"
    lines = [
        f"# TunGo client ({signature}): the name servers of its tunnel.",
        f"# {fate}",
    ]
    return "\n".join([*lines, ""]).encode() + resolver_lines(servers, before)


def resolver_lines(servers: Sequence[NameServer], before: bytes) -> bytes:
    """``servers``, and all else that ``before`` says to resolvers."""
    lines = [*(f"nameserver {server}" for server in servers), *_kept_lines(before)]
    return "\n".join([*lines, ""]).encode(errors="surrogateescape")


def _kept_lines(before: bytes) -> list[str]:
    kept = []
    for line in before.decode(errors="surrogateescape").splitlines():
        words = [word for word in line.split() if word != _ABOUT_THE_SERVERS]
        if len(words) > 1 and words[0] in _KEPT:
            kept.append(" ".join(words))
    return kept


def _start_time(process: int) -> int | None:
    """When it started, in the kernel's ticks since the boot; None if it is no more."""
    try:
        status = Path(f"/proc/{process}/stat").read_text("ascii", errors="replace")
    except OSError:
        return None
    _, _, after_name = status.rpartition(")")
    fields = after_name.split()
    return None if fields[_STATE] in _DEAD else int(fields[_START_TIME])
