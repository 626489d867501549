"""Which of the kernel's two ways to move datagrams by the dozen a socket may use."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from application.network.udp.listener import UdpError
from application.runtime.log import EventLog
from domain.settings.offload import OffloadMode, OffloadSettings
from infrastructure.network.sockets import SocketFactory
from infrastructure.network.udp.coalescing import joins_datagrams
from infrastructure.network.udp.segmentation import segments_runs
from infrastructure.network.udp.sockets import open_datagram_socket


@dataclass(frozen=True, slots=True)
class UdpOffload:
    """``segmentation`` lets the kernel take apart runs of what is sent, ``coalescing`` join what arrives.

    A kernel that cannot do what is allowed is no error: the datagrams then go one by one.
    """

    segmentation: bool
    coalescing: bool


WHERE_POSSIBLE: Final = UdpOffload(segmentation=True, coalescing=True)
ONE_BY_ONE: Final = UdpOffload(segmentation=False, coalescing=False)


def allowed_offload(
    settings: OffloadSettings, log: EventLog, open_socket: SocketFactory = open_datagram_socket
) -> UdpOffload:
    """What ``settings`` allow; ``log`` is told what this kernel cannot do of it.

    Raises UdpError if the kernel cannot do what has to be there.
    """
    with open_socket(socket.AF_INET) as trial:
        return UdpOffload(
            segmentation=_allowed("UdpSegmentation", settings.udp_segmentation, segments_runs, trial, log),
            coalescing=_allowed("UdpCoalescing", settings.udp_coalescing, joins_datagrams, trial, log),
        )


def _allowed(
    key: str,
    mode: OffloadMode,
    is_possible: Callable[[socket.socket], bool],
    trial: socket.socket,
    log: EventLog,
) -> bool:
    if mode is OffloadMode.OFF:
        return False
    if is_possible(trial):
        return True
    if mode is OffloadMode.ON:
        raise UdpError(f'Offload.{key} is "on" but this kernel cannot do it: set it to "auto" or "off"')
    log.info("the kernel does not have it: datagrams go one by one", offload=key)
    return False
