"""The name servers in resolv.conf itself, where no program looks after it for us.

Journal entries of the kinds "resolv-conf" and "resolv-conf-content"; the second has the old content, byte for
byte as the escapes of Python's surrogateescape::

    {"path": "/etc/resolv.conf"}
    {"path": "/etc/resolv.conf", "content": "nameserver 192.0.2.1\\n"}

Others go on writing to the file while the tunnel is up: a DHCP client does with every lease. Theirs is then
what is put back in the end, and ours takes its place again. If they insist, so do we, but ever more seldom.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn

from application.runtime.log import EventLog
from infrastructure.pal.linux.dns import swap
from infrastructure.pal.linux.dns.content import NameServer
from infrastructure.pal.linux.errors import NetworkError, ResolverError
from infrastructure.pal.linux.journal import Journal, Json, text

RESOLV_CONF: Final = Path("/etc/resolv.conf")

KIND: Final = "resolv-conf"
KIND_OF_CONTENT: Final = "resolv-conf-content"

# Ours. A look is one call of lstat; a name server beside the tunnel is asked for this long at most.
LOOK_EVERY_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0


@asynccontextmanager
async def servers_in_file(
    path: Path,
    servers: Sequence[NameServer],
    journal: Journal,
    log: EventLog,
    look_every_s: float = LOOK_EVERY_S,
) -> AsyncIterator[None]:
    """``servers`` are those in ``path``, in place of all others; the rest of what is there stays.

    Raises ResolverError, also while another client has its own there, JournalError.
    """
    change = _Change(path, servers, journal)
    try:
        change.make()
    except BaseException:
        change.take_back()
        raise
    try:
        watching = asyncio.ensure_future(_watch(change, log, look_every_s))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        if not change.take_back():
            log.warning("somebody else has written this file since, and it stays as it is", file=str(path))


async def undo(facts: Mapping[str, Json]) -> None:
    """Put back what was in place of the file. Raises ResolverError, JournalError."""
    swap.put_back(Path(text(facts, "path")))


async def undo_content(facts: Mapping[str, Json]) -> None:
    """Put back the old content. Raises ResolverError, JournalError."""
    swap.put_content_back(Path(text(facts, "path")), _bytes_of(text(facts, "content")))


def put_back_of_the_dead(path: Path) -> bool:
    """Undo what a killed client did if only the file itself tells of it; whether there was something.

    Raises ResolverError.
    """
    author = swap.author_of(path)
    return author is not None and not author.runs and swap.put_back(path)


class _Change:
    """What we have changed about ``path``, in the journal and on the disk."""

    def __init__(self, path: Path, servers: Sequence[NameServer], journal: Journal) -> None:
        self.path = path
        self._servers = servers
        self._journal = journal
        self._entry: int | None = None
        self._stamp: tuple[int, ...] = ()
        self._in_place = False

    def make(self) -> None:
        """Raises ResolverError, JournalError; then there is nothing to take back, or ``take_back`` knows."""
        author = swap.author_of(self.path)
        if author is not None and swap.is_of_another_client(author):
            raise ResolverError(
                f"another TunGo client, process {author.process}, has its name servers in {self.path}"
            )
        if author is not None:
            swap.put_back(self.path)
        self._entry = self._journal.record(KIND, {"path": str(self.path)})
        try:
            swap.replace(self.path, self._servers)
        except swap.NotReplaceableError:
            self._in_place = True
            self._journal.strike(self._entry)
            self._entry = None
            self._overwrite()
        self._stamp = swap.stamp_of(self.path)

    def made_again(self) -> bool:
        """Whether somebody had written a file of their own, and ours has taken its place.

        Raises ResolverError, JournalError.
        """
        stamp = swap.stamp_of(self.path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp  # what fails once is not tried again before the next change
        if swap.author_of(self.path) is not None:
            return False  # ours, and edited
        if self._in_place:
            self._overwrite()
        else:
            swap.replace(self.path, self._servers)
        self._stamp = swap.stamp_of(self.path)
        return True

    def take_back(self) -> bool:
        """False if what is there is somebody else's. Raises ResolverError, JournalError."""
        if self._entry is None:
            return True
        entry = self._journal.entries[self._entry]
        if entry.kind == KIND_OF_CONTENT:
            was_ours = swap.put_content_back(self.path, _bytes_of(entry.text("content")))
        else:
            was_ours = swap.put_back(self.path)
        self._journal.strike(self._entry)
        self._entry = None
        return was_ours

    def _overwrite(self) -> None:
        former, before = self._entry, swap.content_of(self.path)
        content = before.decode(errors="surrogateescape")
        self._entry = self._journal.record(KIND_OF_CONTENT, {"path": str(self.path), "content": content})
        if former is not None:
            self._journal.strike(former)
        swap.overwrite(self.path, self._servers, before)


async def _watch(change: _Change, log: EventLog, look_every_s: float) -> NoReturn:
    pause_s = look_every_s
    while True:
        await asyncio.sleep(pause_s)
        try:
            again = change.made_again()
        except NetworkError as error:
            log.warning("names may be asked for beside the tunnel", reason=str(error))
            again = False
        if again:
            log.warning("somebody else set name servers: those of the tunnel again", file=str(change.path))
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S) if again else look_every_s


def _bytes_of(content: str) -> bytes:
    return content.encode(errors="surrogateescape")
