"""What the kernel may do for the data plane: take large packets apart, put small ones together.

All of it is ours. Some kernels offer what they then do wrong, so each of it can be switched off by itself.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class OffloadMode(StrEnum):
    """How much a file wants one of these, in the words of the file."""

    AUTO = "auto"  # where the kernel has it
    ON = "on"  # nothing works without it
    OFF = "off"  # never, whatever the kernel has


@dataclass(frozen=True, slots=True)
class OffloadSettings:
    """``tun_segmentation``: TCP and UDP segments cross the TUN device by the dozen, as one packet.

    ``udp_segmentation`` and ``udp_coalescing``: datagrams of one length go to the UDP socket, and come from
    it, by the dozen in one call.
    """

    tun_segmentation: OffloadMode = OffloadMode.AUTO
    udp_segmentation: OffloadMode = OffloadMode.AUTO
    udp_coalescing: OffloadMode = OffloadMode.AUTO


# What a file that says nothing asks for.
DEFAULT_OFFLOAD: Final = OffloadSettings()
