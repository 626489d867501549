"""Name servers of a link, as systemd-resolved has them.

What it knows of a link it forgets when the link vanishes, and with the tunnel's interface that happens even
when the client is killed: nothing has to be written down.

With the routing domain ``~.`` all names are asked for on this link, but for those in a domain that another
link has of its own.
"""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from infrastructure.pal.linux.dns.content import NameServer, name_servers
from infrastructure.pal.linux.dns.impatience import run_within
from infrastructure.pal.linux.errors import ResolverError

# Ours: a living one takes some milliseconds, or a second where the bus has to start it.
_ANSWER_S: Final = 2.0
# Ours: that the link vanishes does the same, so nobody has to wait for it.
_REVERT_S: Final = 0.15

# systemd-resolved.service(8): where it listens for programs that ask by DNS.
_STUBS: Final = frozenset({"127.0.0.53", "127.0.0.54"})

# 127.0.0.53 port 53 as the kernel writes it, and the socket for programs that know it.
_TRACES: Final = (
    (Path("/proc/thread-self/net/udp"), ("3500007F:0035", "7F000035:0035")),
    (Path("/proc/thread-self/net/unix"), ("/run/systemd/resolve/io.systemd.Resolve",)),
)


def resolved_is_here() -> bool:
    """Whether systemd-resolved serves the network namespace of this thread, and can be told something.

    It knows links by number, and in another namespace the same number is another link.
    """
    return shutil.which("resolvectl") is not None and any(
        trace in _text(path) for path, traces in _TRACES for trace in traces
    )


def leads_to_resolved(content: bytes) -> bool:
    """Whether programs that read this resolv.conf ask systemd-resolved and nobody else."""
    servers = name_servers(content)
    return bool(servers) and _STUBS.issuperset(servers)


@asynccontextmanager
async def servers_of_link(interface: str, servers: Sequence[NameServer]) -> AsyncIterator[None]:
    """systemd-resolved asks ``servers`` through ``interface``, for all names. Raises ResolverError."""
    try:
        await _tell("dns", interface, *map(str, servers))
        await _tell("domain", interface, "~.")
        await _tell("default-route", interface, "yes")
        await _tell("flush-caches")
        yield
    finally:
        with suppress(ResolverError):
            await run_within(_REVERT_S, "resolvectl", "revert", interface)


async def _tell(*arguments: str) -> None:
    finished = await run_within(_ANSWER_S, "resolvectl", *arguments)
    if finished.status != 0:
        raise ResolverError(f"resolvectl {arguments[0]}: {finished.reason}")


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace")
    except OSError:
        return ""
