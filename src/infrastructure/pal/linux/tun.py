"""A TUN device that lives exactly as long as the process holds its descriptor.

It is not persistent: when the descriptor is closed, by ``close`` or by SIGKILL, the kernel removes the
interface with its addresses and routes. A persistent one, as ``ip tuntap`` makes, would leave a killed
client's host routing into the void (platform specification 17.5).

Each packet has a virtio header before it (``linux.virtio_header``), with or without offloads: without, the
kernel hands out finished packets only, and what others have left unfinished is finished here.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from application.network.routing.tun import (
    TunClosedError,
    TunDevice,
    TunError,
    TunForbiddenError,
    TunUnavailableError,
)
from domain.packets.layout import Train, layout_of_untrusted
from domain.packets.parcel import MalformedParcelError, Parcel
from domain.packets.segment import segment
from domain.settings.offload import OffloadMode
from infrastructure.pal.linux.tun_offload import NO_OFFLOAD, TunOffload, hand_out, negotiate, set_header_size
from infrastructure.pal.linux.virtio_header import HEADER_BYTES, PLAIN_HEADER, header_of, parcel_of

CLONE_DEVICE: Final = "/dev/net/tun"

# <linux/if_tun.h>, <linux/if.h>
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000  # packets carry no four-byte prefix
_IFF_VNET_HDR: Final = 0x4000  # but a virtio header
_IFF_TUN_EXCL: Final = 0x8000  # never take over an interface that somebody else made
_IFNAMSIZ: Final = 16

# struct ifreq    char ifr_name[16] | short ifr_flags | padding to 40 bytes
_IFREQ: Final = struct.Struct(f"{_IFNAMSIZ}sH22x")

_INTERFACE_FLAGS: Final = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL

# The longest that IP can be. A read of this size into a new object, and a slice of it, were measured to be
# no slower than a read into buffers of ours and a copy of what is in them, whatever the packet's length.
_READ_BYTES: Final = HEADER_BYTES + 40 + 65535

# Ours: what ``read_parcels`` stops behind. Four super-packets are worth the calls that are made once per
# batch, and half a millisecond of work keeps nobody else waiting.
_BATCH_BYTES: Final = 256 << 10

_GONE: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.EBADFD, errno.EBADF})
_MALFORMED: Final = frozenset({errno.EINVAL, errno.EMSGSIZE})
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
# What a kernel says to a virtio header that it does not like.
_REFUSES_HEADER: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})

_TRAINS: Final = (Train.TCP_IPV4, Train.TCP_IPV6, Train.UDP)


@dataclass(slots=True)
class TunDrops:
    """Packets and parcels that could not be handed to the kernel, by reason."""

    malformed: int = 0  # no IP packet, longer than the kernel takes, or not the parcel that it claims to be
    no_room: int = 0  # no memory or queue space at that moment
    interface_down: int = 0  # somebody set the interface down

    @property
    def total(self) -> int:
        """All of them."""
        return self.malformed + self.no_room + self.interface_down


class LinuxTunDevice:
    """A non-persistent, non-blocking TUN device; the port is ``application.network.routing.tun.TunDevice``.

    ``drops`` counts what was not written, a parcel as one. Not thread-safe.
    """

    def __init__(self, name: str, fd: int, offload: TunOffload = NO_OFFLOAD) -> None:
        """Wrap the descriptor of an attached device that can do ``offload``; ``create`` makes one."""
        self._name = name
        self._fd = fd
        self._offload = offload
        self._left_to_kernel = _trains_of(offload)
        self._proven: set[Train] = set()
        self.drops = TunDrops()

    @classmethod
    def create(cls, name: str, segmentation: OffloadMode = OffloadMode.OFF) -> "LinuxTunDevice":
        """Make the interface ``name``, down and without addresses, in the network namespace of this thread.

        ``segmentation`` says whether super-packets may cross it. Raises TunUnavailableError if the host or
        the process cannot have a TUN device, TunError if the name is unusable or taken, or if the kernel
        cannot do what has to be there.
        """
        _check_name(name)
        try:
            fd = os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            raise cannot_open(exc) from exc
        try:
            fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(name.encode(), _INTERFACE_FLAGS))
            set_header_size(fd)
        except OSError as exc:
            os.close(fd)
            raise _cannot_attach(name, exc) from exc
        offload = NO_OFFLOAD if segmentation is OffloadMode.OFF else negotiate(fd)
        if segmentation is OffloadMode.ON and not offload.tcp:
            os.close(fd)
            raise TunError(
                'Offload.TunSegmentation is "on" but this kernel cannot do it: set it to "auto" or "off"'
            )
        return cls(name, fd, offload)

    @property
    def name(self) -> str:
        """The interface name."""
        return self._name

    @property
    def offload(self) -> TunOffload:
        """What was negotiated with the kernel."""
        return self._offload

    @property
    def segments_in_software(self) -> bool:
        """Whether some super-packets are cut here before they are written."""
        return len(self._left_to_kernel) < len(_TRAINS)

    def fileno(self) -> int:
        """The descriptor to watch for readability; -1 after close."""
        return self._fd

    def hand_out_super_packets(self, *, wanted: bool) -> None:
        """See the port."""
        if self._offload.tcp and self._fd >= 0:
            hand_out(self._fd, self._offload if wanted else NO_OFFLOAD)

    def read_parcels(self, limit: int) -> list[Parcel]:
        """See the port. An error after the first parcel is left to the next call, which meets it again."""
        read = os.read
        fd = self._fd
        parcels: list[Parcel] = []
        append = parcels.append
        room_bytes = _BATCH_BYTES
        try:
            for _ in range(limit):
                received = read(fd, _READ_BYTES)
                if received.startswith(PLAIN_HEADER):
                    append((received[HEADER_BYTES:], 0, False))
                else:
                    append(parcel_of(received))
                room_bytes -= len(received)
                if room_bytes <= 0:
                    break
        except BlockingIOError:
            pass
        except OSError as exc:
            if not parcels:
                raise self._failed("read from", exc) from exc
        return parcels

    def write_parcels(self, parcels_untrusted: Sequence[Parcel]) -> int:
        """See the port. What the kernel refuses is counted in ``drops``."""
        write = os.writev
        fd = self._fd
        taken = 0
        for parcel in parcels_untrusted:
            packet, segment_bytes, partial_checksum = parcel
            if segment_bytes or partial_checksum:
                taken += self._write_unfinished(parcel)
                continue
            try:
                write(fd, (PLAIN_HEADER, packet))
                taken += 1
            except OSError as exc:
                self._count_refusal(exc)
        return taken

    def _write_unfinished(self, parcel: Parcel) -> bool:
        """Whether the kernel took it, whole or in pieces."""
        try:
            layout = layout_of_untrusted(*parcel)
        except MalformedParcelError:
            self.drops.malformed += 1
            return False
        train = layout.train
        if not self._offload.tcp if train is Train.NONE else train not in self._left_to_kernel:
            return self._write_in_pieces(parcel)
        try:
            os.writev(self._fd, (header_of(parcel, layout), parcel[0]))
        except OSError as exc:
            if exc.errno not in _REFUSES_HEADER:
                self._count_refusal(exc)
                return False
            # Once the kernel has taken one, a refusal is about this one alone: a peer made it odd.
            if train not in self._proven:
                self._left_to_kernel.discard(train)
            return self._write_in_pieces(parcel)
        if train is not Train.NONE:
            self._proven.add(train)
        return True

    def _write_in_pieces(self, parcel: Parcel) -> bool:
        """A parcel of which a piece is lost counts as dropped once, for the first reason."""
        for packet in segment(parcel):
            try:
                os.writev(self._fd, (PLAIN_HEADER, packet))
            except OSError as exc:
                self._count_refusal(exc)
                return False
        return True

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


def _trains_of(offload: TunOffload) -> set[Train]:
    """What the kernel cuts of what is written."""
    return {train for train in _TRAINS if (offload.udp if train is Train.UDP else offload.tcp)}


def _check_name(name: str) -> None:
    """The kernel's own rules, checked here because it answers all of them with a bare EINVAL."""
    if not 0 < len(name.encode()) < _IFNAMSIZ:
        raise TunError(f"the interface name {name!r} must have 1 to {_IFNAMSIZ - 1} bytes: shorten TunName")
    # The kernel replaces a `%d` by a number; then the interface would not have the configured name.
    if name in {".", ".."} or not name.isprintable() or any(c in "/:%" or c.isspace() for c in name):
        raise TunError(f"the interface name {name!r} has a character that Linux refuses: change TunName")


def cannot_open(exc: OSError) -> TunError:
    """What a refusal to open CLONE_DEVICE means, and what to do about it."""
    if exc.errno == errno.ENOENT:
        advice = "there is none: load the module with `modprobe tun`, or start the container with it"
    elif exc.errno in {errno.EPERM, errno.EACCES}:
        return TunForbiddenError(
            f"cannot open {CLONE_DEVICE}: no permission: run as root or with CAP_NET_ADMIN, "
            f"and in a container allow the device"
        )
    elif exc.errno in {errno.ENODEV, errno.ENXIO}:
        advice = "this kernel has no TUN driver: load the module with `modprobe tun`"
    else:
        return TunError(f"cannot open {CLONE_DEVICE}: {exc.strerror}")
    return TunUnavailableError(f"cannot open {CLONE_DEVICE}: {advice}")


def _cannot_attach(name: str, exc: OSError) -> TunError:
    if exc.errno == errno.EPERM:
        return TunForbiddenError(
            f"no permission to create the interface {name}: run as root or with CAP_NET_ADMIN"
        )
    if exc.errno in {errno.EBUSY, errno.EEXIST, errno.EINVAL}:
        return TunError(
            f"an interface {name} already exists: stop the program that uses it, "
            f"or remove a forgotten one with `ip link delete {name}`"
        )
    return TunError(f"cannot create the interface {name}: {exc.strerror}")


_: type[TunDevice] = LinuxTunDevice
