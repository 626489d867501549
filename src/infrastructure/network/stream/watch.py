"""Many descriptors behind one: an event loop watches that one, and whoever owns them asks which it was."""

import os
import select
from collections.abc import Hashable
from contextlib import ExitStack
from typing import Generic, NamedTuple, TypeVar

Owner = TypeVar("Owner", bound=Hashable)

_READ = select.EPOLLIN
_READ_AND_WRITE = select.EPOLLIN | select.EPOLLOUT

# Errors and hang-ups are found by reading.
_TO_BE_READ = select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP


class Ready(NamedTuple, Generic[Owner]):
    """An owner whose descriptor has something to read, or room to write, or both."""

    owner: Owner
    readable: bool
    writable: bool


class Watch(Generic[Owner]):
    """A descriptor that is readable while one of those in it is ready or while an owner is recalled.

    Every descriptor in it is watched for reading, and for room only while its owner wants some. Raises
    OSError if the process has too many descriptors.
    """

    __slots__ = ("_bell", "_epoll", "_open", "_owners", "_recalled")

    def __init__(self) -> None:
        self._owners: dict[int, Owner] = {}
        self._recalled: dict[Owner, None] = {}
        with ExitStack() as opening:
            self._epoll = opening.enter_context(select.epoll())
            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            opening.callback(os.close, self._bell)
            self._epoll.register(self._bell, _READ)
            self._open = opening.pop_all()

    def fileno(self) -> int:
        """-1 after close."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def add(self, descriptor: int, owner: Owner) -> None:
        """Watch ``descriptor`` for ``owner``. Raises OSError if the kernel has no room for one more."""
        self._epoll.register(descriptor, _READ)
        self._owners[descriptor] = owner

    def remove(self, descriptor: int) -> None:
        """Forget ``descriptor`` and its owner; call it before the close, as the number is soon another's."""
        self._epoll.unregister(descriptor)
        self.dismiss(self._owners.pop(descriptor))

    def want_room(self, descriptor: int, *, wanted: bool) -> None:
        """Whether ``descriptor`` is to be watched for room as well."""
        self._epoll.modify(descriptor, _READ_AND_WRITE if wanted else _READ)

    def recall(self, owner: Owner) -> None:
        """Have ``ready`` report ``owner`` as readable once, although its descriptor has nothing to read."""
        if not self._recalled:
            os.eventfd_write(self._bell, 1)
        self._recalled[owner] = None

    def dismiss(self, owner: Owner) -> None:
        """Take a recall back; without one, nothing happens."""
        if owner in self._recalled:
            del self._recalled[owner]
            if not self._recalled:
                os.eventfd_read(self._bell)

    def ready(self, limit: int) -> list[Ready[Owner]]:
        """At most ``limit`` owners that are ready now, each of them once; never blocks.

        Whoever was reported and is still ready comes again after those who were not.
        """
        # The kernel takes up to its limit from the front of its list and puts what stays ready at the end.
        ready = [
            Ready(self._owners[descriptor], bool(events & _TO_BE_READ), bool(events & select.EPOLLOUT))
            for descriptor, events in self._epoll.poll(0, limit)
            if descriptor != self._bell
        ]
        if self._recalled:
            self._report_recalled(ready, limit)
        return ready

    def close(self) -> None:
        """Stop watching; the descriptors belong to their owners. A second call does nothing."""
        self._owners.clear()
        self._recalled.clear()
        self._open.close()

    def _report_recalled(self, ready: list[Ready[Owner]], limit: int) -> None:
        for index, (owner, _, writable) in enumerate(ready):
            if owner in self._recalled:
                self.dismiss(owner)
                ready[index] = Ready(owner, readable=True, writable=writable)
        while self._recalled and len(ready) < limit:
            owner = next(iter(self._recalled))
            self.dismiss(owner)
            ready.append(Ready(owner, readable=True, writable=False))
