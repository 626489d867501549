"""Whether there can be a TUN interface, and what the kernel does for it and for UDP sockets.

An interface of our own is the only proof. It is made in a network namespace that exists for that moment
only, so that neither this host's programs nor its administrator ever see it.
"""

import ctypes
import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from application.diagnosis.finding import Finding
from application.network.routing.tun import TunForbiddenError, TunUnavailableError
from domain.settings.offload import OffloadMode
from infrastructure.network.udp.coalescing import joins_datagrams
from infrastructure.network.udp.segmentation import segments_runs
from infrastructure.network.udp.sockets import open_datagram_socket
from infrastructure.pal.linux.doctor.rights import CAP_NET_ADMIN, capabilities
from infrastructure.pal.linux.doctor.wording import worded
from infrastructure.pal.linux.tun import CLONE_DEVICE, LinuxTunDevice, cannot_open
from infrastructure.pal.linux.tun_offload import TunOffload

_CLONE_NEWNET: Final = 0x40000000  # <linux/sched.h>
_TRIAL: Final = "tungo_trial"

_FASTER: Final = "nothing has to be done; a newer kernel would move large transfers with less work"


async def examine_tun() -> Sequence[Finding]:
    """Raises TunError, and MissingRightsError where a user's rights are all that is in the way."""
    try:
        _open_device()
        offload = trial_offload()
    except TunForbiddenError as exc:
        if CAP_NET_ADMIN not in capabilities():
            raise
        return [worded(exc)]
    except TunUnavailableError as exc:
        return [worded(exc)]
    if offload is None:
        return [Finding.ok(f"{CLONE_DEVICE} can be opened")]
    return [Finding.ok("an interface can be made")]


async def examine_offload() -> Sequence[Finding]:
    """Raises TunError, MissingRightsError."""
    return [*_tun_findings(trial_offload()), *_udp_findings()]


def trial_offload() -> TunOffload | None:
    """What a fresh interface can do; None if this process may not make a network namespace for one.

    Raises TunError.
    """

    def inside() -> TunOffload | None:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            return None
        device = LinuxTunDevice.create(_TRIAL, OffloadMode.AUTO)
        try:
            return device.offload
        finally:
            device.close()

    # The namespace is the thread's, and goes away with it.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(inside).result()


def _open_device() -> None:
    try:
        os.close(os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as exc:
        raise cannot_open(exc) from exc


def _tun_findings(offload: TunOffload | None) -> Sequence[Finding]:
    if offload is None:
        return [
            Finding.warning(
                "what the kernel does for a TUN interface could not be looked at: no right to make a trial",
                "run this as root to know",
            )
        ]
    if not offload.tcp:
        return [Finding.warning("the kernel hands packets to the tunnel one by one", _FASTER)]
    of = "TCP and UDP" if offload.udp else "TCP"
    return [Finding.ok(f"segments of {of} go through the interface many at a time")]


def _udp_findings() -> Sequence[Finding]:
    with open_datagram_socket(socket.AF_INET) as trial:
        segments, joins = segments_runs(trial), joins_datagrams(trial)
    if segments and joins:
        return [Finding.ok("datagrams are sent and received many at a time")]
    missing = " nor ".join(
        verb for verb, is_there in (("sends", segments), ("receives", joins)) if not is_there
    )
    return [Finding.warning(f"the kernel neither {missing} datagrams many at a time", _FASTER)]
