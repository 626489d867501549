"""Whether this process may do what a tunnel takes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from application.diagnosis.finding import Finding

_STATUS: Final = Path("/proc/thread-self/status")
_EFFECTIVE: Final = "CapEff:"

# <linux/capability.h>
CAP_NET_BIND_SERVICE: Final = 10
CAP_NET_ADMIN: Final = 12

_ADVICE_CONTAINER: Final = "start the container with --cap-add NET_ADMIN, or the service with that capability"


def capabilities() -> frozenset[int]:
    """The effective capabilities of this thread, by number."""
    for line in _STATUS.read_text("ascii").splitlines():
        if line.startswith(_EFFECTIVE):
            mask = int(line.removeprefix(_EFFECTIVE), 16)
            return frozenset(number for number in range(mask.bit_length()) if mask >> number & 1)
    return frozenset()


async def examine_rights() -> Sequence[Finding]:
    """CAP_NET_ADMIN: interfaces, routes, firewall rules and marks need it, and nothing else."""
    if CAP_NET_ADMIN in capabilities():
        return [Finding.ok("this process may configure the network")]
    if os.geteuid() == 0:
        return [
            Finding.problem(
                "root may not configure the network here: CAP_NET_ADMIN is missing", _ADVICE_CONTAINER
            )
        ]
    return [
        Finding.warning(
            "this user may not configure the network, so that parts of the host cannot be seen from here",
            "run server and client as root, and this too: `sudo tungo doctor`",
        )
    ]
