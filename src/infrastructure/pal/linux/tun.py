"""A TUN device that lives exactly as long as the process holds its descriptor.

It is not persistent: when the descriptor is closed, by ``close`` or by SIGKILL, the kernel removes the
interface with its addresses and routes. A persistent one, as ``ip tuntap`` makes, would leave a killed
client's host routing into the void (platform specification 17.5).
"""

import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from application.network.routing.tun import TunClosedError, TunDevice, TunError, TunUnavailableError
from domain.noise.primitives import Buffer

CLONE_DEVICE: Final = "/dev/net/tun"

# <linux/if_tun.h>, <linux/if.h>
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000  # packets carry no four-byte prefix
_IFF_TUN_EXCL: Final = 0x8000  # never take over an interface that somebody else made
_IFNAMSIZ: Final = 16

# struct ifreq    char ifr_name[16] | short ifr_flags | padding to 40 bytes
_IFREQ: Final = struct.Struct(f"{_IFNAMSIZ}sH22x")

# More than any MTU of ours: a packet that an administrator's larger MTU lets through must not arrive cut.
_READ_BYTES: Final = 65535

_GONE: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.EBADFD, errno.EBADF})
_MALFORMED: Final = frozenset({errno.EINVAL, errno.EMSGSIZE})
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})


@dataclass(slots=True)
class TunDrops:
    """Packets that ``write_batch`` could not hand to the kernel, by reason."""

    malformed: int = 0  # no IP packet, or longer than the kernel takes
    no_room: int = 0  # no memory or queue space at that moment
    interface_down: int = 0  # somebody set the interface down

    @property
    def total(self) -> int:
        """All of them."""
        return self.malformed + self.no_room + self.interface_down


class LinuxTunDevice:
    """A non-persistent, non-blocking TUN device; the port is ``application.network.routing.tun.TunDevice``.

    ``drops`` counts what was not written. Not thread-safe.
    """

    def __init__(self, name: str, fd: int) -> None:
        """Wrap the descriptor of an attached device; ``create`` makes one."""
        self._name = name
        self._fd = fd
        self.drops = TunDrops()

    @classmethod
    def create(cls, name: str) -> "LinuxTunDevice":
        """Make the interface ``name``, down and without addresses, in the network namespace of this thread.

        Raises TunUnavailableError if the host or the process cannot have a TUN device, TunError if the name
        is unusable or taken.
        """
        _check_name(name)
        try:
            fd = os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            raise _cannot_open(exc) from exc
        try:
            fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(name.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_TUN_EXCL))
        except OSError as exc:
            os.close(fd)
            raise _cannot_attach(name, exc) from exc
        return cls(name, fd)

    @property
    def name(self) -> str:
        """The interface name."""
        return self._name

    def fileno(self) -> int:
        """The descriptor to watch for readability; -1 after close."""
        return self._fd

    def read_batch(self, limit: int) -> list[bytes]:
        """See the port. An error after the first packet is left to the next call, which meets it again."""
        read = os.read
        fd = self._fd
        packets: list[bytes] = []
        append = packets.append
        try:
            for _ in range(limit):
                append(read(fd, _READ_BYTES))
        except BlockingIOError:
            pass
        except OSError as exc:
            if not packets:
                raise self._failed("read from", exc) from exc
        return packets

    def write_batch(self, packets: Sequence[Buffer]) -> int:
        """See the port. What the kernel refuses is counted in ``drops``."""
        write = os.write
        fd = self._fd
        taken = 0
        for packet in packets:
            try:
                write(fd, packet)
                taken += 1
            except OSError as exc:
                self._count_refusal(exc)
        return taken

    def close(self) -> None:
        """Close the descriptor; the kernel removes the interface."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _count_refusal(self, exc: OSError) -> None:
        """Count the packet as dropped, or raise if it is not the packet's fault."""
        if exc.errno in _MALFORMED:
            self.drops.malformed += 1
        elif exc.errno in _NO_ROOM:
            self.drops.no_room += 1
        elif exc.errno == errno.EIO:
            self.drops.interface_down += 1
        else:
            raise self._failed("write to", exc) from exc

    def _failed(self, action: str, exc: OSError) -> TunError:
        if exc.errno in _GONE:
            return TunClosedError(f"the interface {self._name} is gone: it was closed or deleted")
        return TunError(f"cannot {action} the interface {self._name}: {exc.strerror}")


def _check_name(name: str) -> None:
    """The kernel's own rules, checked here because it answers all of them with a bare EINVAL."""
    if not 0 < len(name.encode()) < _IFNAMSIZ:
        raise TunError(f"the interface name {name!r} must have 1 to {_IFNAMSIZ - 1} bytes: shorten TunName")
    # The kernel replaces a `%d` by a number; then the interface would not have the configured name.
    if name in {".", ".."} or not name.isprintable() or any(c in "/:%" or c.isspace() for c in name):
        raise TunError(f"the interface name {name!r} has a character that Linux refuses: change TunName")


def _cannot_open(exc: OSError) -> TunError:
    if exc.errno == errno.ENOENT:
        advice = "there is none: load the module with `modprobe tun`, or start the container with it"
    elif exc.errno in {errno.EPERM, errno.EACCES}:
        advice = "no permission: run as root or with CAP_NET_ADMIN, and in a container allow the device"
    elif exc.errno in {errno.ENODEV, errno.ENXIO}:
        advice = "this kernel has no TUN driver: load the module with `modprobe tun`"
    else:
        return TunError(f"cannot open {CLONE_DEVICE}: {exc.strerror}")
    return TunUnavailableError(f"cannot open {CLONE_DEVICE}: {advice}")


def _cannot_attach(name: str, exc: OSError) -> TunError:
    if exc.errno == errno.EPERM:
        return TunUnavailableError(
            f"no permission to create the interface {name}: run as root or with CAP_NET_ADMIN"
        )
    if exc.errno in {errno.EBUSY, errno.EEXIST, errno.EINVAL}:
        return TunError(
            f"an interface {name} already exists: stop the program that uses it, "
            f"or remove a forgotten one with `ip link delete {name}`"
        )
    return TunError(f"cannot create the interface {name}: {exc.strerror}")


_: type[TunDevice] = LinuxTunDevice
