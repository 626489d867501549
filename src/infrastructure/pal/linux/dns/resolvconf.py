"""Name servers of an interface, as the program resolvconf has them: openresolv, or the one of Debian.

Journal entries of the kind "resolvconf-record"::

    {"record": "c_udptun0"}
"""

import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from infrastructure.pal.linux.dns.content import NameServer, name_servers, resolver_lines
from infrastructure.pal.linux.dns.impatience import run_within
from infrastructure.pal.linux.dns.swap import content_of
from infrastructure.pal.linux.errors import ResolverError
from infrastructure.pal.linux.journal import Journal, Json, text

KIND: Final = "resolvconf-record"

_PROGRAM: Final = "resolvconf"
# systemd brings a resolvconf that is this program under another name.
_RESOLVECTL: Final = "resolvectl"

# Ours: it may start the host's own name server anew. The client's stop does not wait for that.
_ADD_S: Final = 3.0
_DELETE_S: Final = 0.3
# Ours: nobody waits for a clean-up.
_UNDO_S: Final = 10.0


def resolvconf_is_here() -> bool:
    """Whether there is one that writes resolv.conf itself."""
    program = shutil.which(_PROGRAM)
    return program is not None and Path(program).resolve().name != _RESOLVECTL


@asynccontextmanager
async def record_of(
    interface: str, servers: Sequence[NameServer], path: Path, journal: Journal
) -> AsyncIterator[None]:
    """resolvconf has ``servers`` for ``interface``, and because of it programs ask nobody else.

    Raises ResolverError, also if other name servers are still in ``path`` then, JournalError.
    """
    number = journal.record(KIND, {"record": interface})
    try:
        document = resolver_lines(servers, content_of(path))
        # The first of all, and the only one. Debian's program knows neither and pays no heed.
        await _run(_ADD_S, "-a", interface, "-m", "0", "-x", document=document)
        _check_effect(path, servers)
        yield
    finally:
        await _delete(interface, _DELETE_S, may_go_on=True)
        journal.strike(number)


async def undo(facts: Mapping[str, Json]) -> None:
    """Delete the record that these facts are of. Raises ResolverError, JournalError."""
    record = text(facts, "record")
    if resolvconf_is_here():
        await _delete(record, _UNDO_S)


def _check_effect(path: Path, servers: Sequence[NameServer]) -> None:
    """A name server on this host is fine: it is one that resolvconf tells whom to ask."""
    found = name_servers(content_of(path))
    others = [server for server in found if server not in map(str, servers) and not _is_loopback(server)]
    if others or not found:
        raise ResolverError(f"resolvconf leaves {', '.join(others) or 'no name server'} in {path}")


async def _delete(record: str, limit_s: float, *, may_go_on: bool = False) -> None:
    """openresolv minds if there is no such record unless it is told ``-f``, which Debian's does not know."""
    try:
        await _run(limit_s, "-f", "-d", record, may_go_on=may_go_on)
    except _RefusedError:
        await _run(limit_s, "-d", record, may_go_on=may_go_on)


class _RefusedError(ResolverError):
    """resolvconf ended, but not well."""


async def _run(limit_s: float, *arguments: str, document: bytes = b"", may_go_on: bool = False) -> None:
    finished = await run_within(limit_s, _PROGRAM, *arguments, document=document, may_go_on=may_go_on)
    if finished.status != 0:
        raise _RefusedError(f"resolvconf {arguments[0]}: {finished.reason}")


def _is_loopback(server_untrusted: str) -> bool:
    try:
        return ip_address(server_untrusted).is_loopback
    except ValueError:
        return False
