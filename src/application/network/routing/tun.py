"""The virtual interface between the kernel's IP stack and the tunnel.

Errors::

    TunError                 the device or its configuration failed; the text says what to do
    ├── TunUnavailableError  no /dev/net/tun, or no right to use it: trying again will not help
    └── TunClosedError       the device is gone (closed, or deleted by somebody)
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from domain.noise.primitives import Buffer


class TunError(Exception):
    """The TUN device or its configuration failed."""


class TunUnavailableError(TunError):
    """This host or process cannot have a TUN device."""


class TunClosedError(TunError):
    """The TUN device is gone."""


class TunDevice(Protocol):
    """An open, non-blocking layer-3 device; one IP packet per read and write of the kernel."""

    @property
    def name(self) -> str:
        """The interface name."""
        ...

    def fileno(self) -> int:
        """The descriptor to watch for readability; -1 after close."""
        ...

    def read_batch(self, limit: int) -> list[bytes]:
        """The next packets that the kernel routes into the tunnel, at most ``limit``, in order.

        Never blocks and never waits for a fuller batch; empty means that nothing is there. The packets are
        new objects and belong to the caller. Raises TunClosedError when the device is gone.
        """
        ...

    def write_batch(self, packets: Sequence[Buffer]) -> int:
        """Hand ``packets`` to the kernel's IP stack in order; returns how many it took.

        Never blocks. A packet that the kernel refuses (malformed, no room) is dropped, the rest goes on.
        Raises TunClosedError when the device is gone.
        """
        ...

    def close(self) -> None:
        """Close the device, which removes the interface; a second call does nothing."""
        ...


class TunManager(Protocol):
    """Makes a configured TUN device and takes back every change it made to the host."""

    def open(self) -> AbstractAsyncContextManager[TunDevice]:
        """The device: created, addressed, routed and up on entry; all of it undone on exit.

        If a step fails on entry, the earlier ones are undone before the error leaves. Raises TunError.
        """
        ...
