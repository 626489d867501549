"""Whether this host passes on what clients of its server send."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from application.diagnosis.finding import Finding
from domain.settings.server import ServerSettings
from infrastructure.pal.linux.doctor.journals import running
from infrastructure.pal.linux.errors import JournalRightsError
from infrastructure.pal.linux.journal import SERVER, JournalFolder
from infrastructure.pal.linux.sysctl import IPV4_FORWARDING, IPV6_FORWARDING, read_setting

_PROC_SYS: Final = "/proc/sys"


async def examine_forwarding(settings: ServerSettings, journals: JournalFolder) -> Sequence[Finding]:
    """A server turns forwarding on and off again by itself, where it can. Raises NetworkError."""
    keys = [IPV4_FORWARDING]
    if any(profile.ipv6_subnet is not None for profile in settings.enabled_profiles()):
        keys.append(IPV6_FORWARDING)
    read_only = bool(os.statvfs(_PROC_SYS).f_flag & os.ST_RDONLY)
    try:
        serves = bool(running(journals, SERVER))
    except JournalRightsError:
        serves = False
    return [_finding(key, read_only=read_only, serves=serves) for key in keys]


def _finding(key: str, *, read_only: bool, serves: bool) -> Finding:
    if not Path(_PROC_SYS, *key.split(".")).exists():
        return Finding.warning(
            f"this kernel does not know {key}: it has no IPv6, and clients get none",
            "nothing has to be done, unless clients are to have IPv6",
        )
    if read_setting(key) == "1":
        return Finding.ok(f"{key} is on")
    advice = f"run `sysctl -w {key}=1` on the host"
    if read_only:
        return Finding.problem(
            f"{key} is off, and {_PROC_SYS} is read-only: a server cannot turn it on", advice
        )
    if serves:
        return Finding.problem(f"{key} is off although a server runs: somebody has turned it off", advice)
    return Finding.ok(f"{key} is off until a server runs")
