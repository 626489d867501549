"""What the kernel does for a TUN device: complete checksums, and take segments through it as one packet.

TCP and UDP are negotiated apart, for UDP came with Linux 6.2. TUNSETOFFLOAD says what the kernel may hand
out, and an older one refuses all of a request of which it does not know something. What it takes is another
matter: some kernels refuse super-packets although they hand them out. So a fresh device is asked, with
super-packets of our own, while its interface is still down. Nothing comes of them: the kernel looks at the
header first and answers EINVAL if it refuses that, and then at the interface, which is down, and answers EIO.
A kernel that looks the other way round tells nothing by that, and the first real super-packet has to do.
"""

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from typing import Final

from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import Parcel
from infrastructure.pal.linux.virtio_header import HEADER_BYTES, header_of

# <linux/if_tun.h>
_TUNSETVNETHDRSZ: Final = 0x400454D8
_TUNSETOFFLOAD: Final = 0x400454D0
_TUN_F_CSUM: Final = 0x01
_TUN_F_TSO4: Final = 0x02
_TUN_F_TSO6: Final = 0x04
_TUN_F_TSO_ECN: Final = 0x08
_TUN_F_USO4: Final = 0x20
_TUN_F_USO6: Final = 0x40

_FOR_TCP: Final = _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_TSO_ECN
_FOR_UDP: Final = _TUN_F_USO4 | _TUN_F_USO6


@dataclass(frozen=True, slots=True)
class TunOffload:
    """Whose super-packets the kernel hands out and takes; with ``tcp`` it also completes checksums.

    There is no ``udp`` without ``tcp``.
    """

    tcp: bool
    udp: bool

    @property
    def flags(self) -> int:
        """For TUNSETOFFLOAD."""
        return (_FOR_TCP if self.tcp else 0) | (_FOR_UDP if self.udp else 0)


NO_OFFLOAD: Final = TunOffload(tcp=False, udp=False)
_FROM_MOST_TO_LEAST: Final = (TunOffload(tcp=True, udp=True), TunOffload(tcp=True, udp=False), NO_OFFLOAD)

# Two segments each, from and to addresses that are nobody's (RFC 5737).
_ADDRESSES: Final = bytes([192, 0, 2, 1, 192, 0, 2, 2])
_PAYLOAD_BYTES: Final = 2000
_TCP_TRAIN: Final[Parcel] = (
    struct.pack("!BxHHHBBH", 0x45, 40 + _PAYLOAD_BYTES, 0, 0x4000, 64, 6, 0)
    + _ADDRESSES
    + struct.pack("!HHIIBBHHH", 9, 9, 1, 1, 5 << 4, 0x10, 1000, 0, 0)
    + bytes(_PAYLOAD_BYTES),
    1000,
    True,
)
_UDP_TRAIN: Final[Parcel] = (
    struct.pack("!BxHHHBBH", 0x45, 28 + _PAYLOAD_BYTES, 0, 0x4000, 64, 17, 0)
    + _ADDRESSES
    + struct.pack("!HHHH", 9, 9, 8 + _PAYLOAD_BYTES, 0)
    + bytes(_PAYLOAD_BYTES),
    1000,
    True,
)


def negotiate(fd: int) -> TunOffload:
    """The most that the kernel can do; ``fd`` is a device with IFF_VNET_HDR whose interface is down.

    Nothing of it is in force yet: that is for ``hand_out``.
    """
    handed_out = next(offload for offload in _FROM_MOST_TO_LEAST if hand_out(fd, offload))
    hand_out(fd, NO_OFFLOAD)
    tcp = handed_out.tcp and _takes(fd, _TCP_TRAIN)
    return TunOffload(tcp=tcp, udp=tcp and handed_out.udp and _takes(fd, _UDP_TRAIN))


def hand_out(fd: int, offload: TunOffload) -> bool:
    """Have the kernel hand out this much from now on; False if it refuses, and then nothing has changed.

    It may be changed at any time. What waits in the device already is handed out as it is.
    """
    try:
        fcntl.ioctl(fd, _TUNSETOFFLOAD, offload.flags)
    except OSError:
        # Nothing is what every device starts with, so there it makes no difference.
        return offload == NO_OFFLOAD
    return True


def set_header_size(fd: int) -> None:
    """Make sure of the short header: a kernel may be told to begin with a longer one. Raises OSError."""
    fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("=i", HEADER_BYTES))


def _takes(fd: int, train: Parcel) -> bool:
    header = header_of(train, layout_of_untrusted(*train))
    try:
        os.writev(fd, (header, train[0]))
    except OSError as exc:
        return exc.errno == errno.EIO
    return True
