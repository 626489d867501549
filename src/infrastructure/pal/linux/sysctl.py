"""Kernel settings under /proc/sys, changed only where they differ and put back on exit.

A setting that already has the wanted value is neither written nor put back: somebody else wants it so, and
a container with a read-only /proc/sys on a host that forwards can run a server. Unless that somebody is
another TunGo, as the journals tell: then the last of them puts the setting back.

Journal entries of the kind "sysctl"::

    {"key": "net.ipv4.ip_forward", "value": "1", "before": "0",
     "around": {"net.ipv4.conf.all.accept_redirects": "0", ...}}      what the kernel changes along with it
"""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from application.runtime.log import EventLog
from infrastructure.pal.linux.errors import JournalError, SysctlError, SysctlRightsError
from infrastructure.pal.linux.journal import Journal, Json, text

_PROC_SYS: Final = Path("/proc/sys")

IPV4_FORWARDING: Final = "net.ipv4.ip_forward"
IPV6_FORWARDING: Final = "net.ipv6.conf.all.forwarding"
SOURCE_VALID_MARK: Final = "net.ipv4.conf.all.src_valid_mark"

KIND: Final = "sysctl"

_STRICT: Final = "1"  # rp_filter: the way back must be the way in
_LOOSE: Final = "2"
_HOST_ACCEPT_RA: Final = "1"  # ignore router advertisements once the host forwards
_ROUTER_ACCEPT_RA: Final = "2"  # heed them all the same


def read_setting(key: str) -> str:
    """The value of ``key`` (``net.ipv4.ip_forward``; a slash stands for a dot in an interface name).

    Raises SysctlError.
    """
    try:
        return _path_of(key).read_text("ascii").strip()
    except OSError as exc:
        raise SysctlError(key, f"cannot read the kernel setting {key}: {exc.strerror}") from exc


def write_setting(key: str, value: str) -> None:
    """Set ``key``. Raises SysctlError."""
    try:
        _path_of(key).write_text(value, "ascii")
    except OSError as exc:
        if exc.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise _forbidden(key, value) from exc
        raise SysctlError(key, f"cannot set the kernel setting {key} to {value}: {exc.strerror}") from exc


@contextmanager
def setting_kept_at(key: str, value: str, journal: Journal) -> Iterator[None]:
    """``key`` has ``value`` inside; on exit the former value returns if it was another.

    Raises SysctlError, JournalError.
    """
    with _written(key, value, journal, and_then_restore=()):
        yield


def refuse_unchangeable_forwarding(keys: Iterable[str]) -> None:
    """Raises SysctlRightsError, as ``forwarding_on`` will, where forwarding is off and cannot be turned on.

    To be asked before anything is changed; ``keys`` are of IPV4_FORWARDING and IPV6_FORWARDING. Raises
    SysctlError.
    """
    for key in keys:
        if read_setting(key) != "1" and not os.access(_path_of(key), os.W_OK):
            raise _forbidden(key, "1")


@contextmanager
def forwarding_on(key: str, journal: Journal, log: EventLog) -> Iterator[None]:
    """This host forwards packets inside; ``key`` is IPV4_FORWARDING or IPV6_FORWARDING.

    The switch is no plain value: turning it sets ``forwarding`` of every interface, and for IPv4 also whether
    redirects are accepted. All of that is restored too, as far as the interfaces are still there. ``log`` is
    told where the switch is on and cannot be turned. Raises SysctlError, JournalError.
    """
    if key == IPV4_FORWARDING:
        side_effects = [*_per_interface("ipv4", "forwarding"), "net.ipv4.conf.all.accept_redirects"]
    else:
        side_effects = _per_interface("ipv6", "forwarding")
    if read_setting(key) == "1" and not os.access(_path_of(key), os.W_OK):
        log.warning("kernel settings cannot be written here: forwarding is on and stays as it is", key=key)
    with _written(key, "1", journal, and_then_restore=side_effects):
        yield


@contextmanager
def advertisements_heeded_on(interfaces: Iterable[str], journal: Journal, log: EventLog) -> Iterator[None]:
    """Router advertisements go on to configure these interfaces although the host forwards.

    To be entered before IPv6 forwarding is turned on: at that moment the kernel drops the advertised
    default routes of all other interfaces (platform specification 18.5). Where /proc/sys cannot be written,
    ``log`` is told that they are not heeded. Raises JournalError.
    """
    with ExitStack() as stack:
        for interface in interfaces:
            key = _interface_key("ipv6", interface, "accept_ra")
            if _present([key]).get(key) != _HOST_ACCEPT_RA:
                continue
            try:
                stack.enter_context(setting_kept_at(key, _ROUTER_ACCEPT_RA, journal))
            except SysctlError as exc:
                log.warning(
                    "the advertised default route of this host will be lost",
                    interface=interface,
                    reason=str(exc),
                )
        yield


async def undo(facts: Mapping[str, Json]) -> None:
    """Put back what a killed process set, unless somebody has set it since.

    Raises SysctlError, JournalError.
    """
    _put_back(facts)


def source_filter_is_strict() -> bool:
    """Whether an interface, present or future, drops IPv4 packets that its answers would not go out by.

    What holds for an interface is the larger of its own value and the one for all (Linux, ip-sysctl).
    """
    values = _present(_per_interface("ipv4", "rp_filter"))
    for_all = values.pop("net.ipv4.conf.all.rp_filter", "0")
    values.pop("net.ipv4.conf.lo.rp_filter", None)
    return for_all != _LOOSE and (for_all == _STRICT or _STRICT in values.values())


def ipv6_is_available() -> bool:
    """Whether an interface of ours can carry IPv6.

    It cannot if the kernel has none (``ipv6.disable=1``), or if new interfaces get none and this cannot be
    changed: so it is in many containers.
    """
    switch = _interface_key("ipv6", "default", "disable_ipv6")
    value = _present([switch]).get(switch)
    return value == "0" or (value is not None and os.access(_path_of(switch), os.W_OK))


def enable_ipv6_on(interface: str) -> None:
    """Let an interface of our own carry IPv6 where the administrator switched it off by default."""
    key = _interface_key("ipv6", interface, "disable_ipv6")
    if read_setting(key) != "0":
        write_setting(key, "0")


@contextmanager
def _written(key: str, value: str, journal: Journal, and_then_restore: Iterable[str]) -> Iterator[None]:
    number = _set_and_recorded(key, value, journal, and_then_restore)
    try:
        yield
    finally:
        if number is not None and not journal.pass_on(number):
            _put_back(journal.entries[number].facts)
            journal.strike(number)


def _set_and_recorded(key: str, value: str, journal: Journal, around: Iterable[str]) -> int | None:
    """The number of the journal's entry; None if the value is that of the administrator."""
    with journal.comparing() as theirs:
        before = read_setting(key)
        if before == value:
            of_theirs = [
                entry.facts
                for entry in theirs
                if (entry.kind, entry.facts.get("key"), entry.facts.get("value")) == (KIND, key, value)
            ]
            return journal.record(KIND, of_theirs[0]) if of_theirs else None
        facts: dict[str, Json] = {"key": key, "value": value, "before": before, "around": _present(around)}
        number = journal.record(KIND, facts)
        try:
            write_setting(key, value)
        except BaseException:
            _put_back(facts)
            journal.strike(number)
            raise
        return number


def _forbidden(key: str, value: str) -> SysctlRightsError:
    return SysctlRightsError(
        key,
        f"cannot set the kernel setting {key} to {value}: no permission here: "
        f"run `sysctl -w {key}={value}` on the host, or run as root",
    )


def _put_back(facts: Mapping[str, Json]) -> None:
    key, around = text(facts, "key"), facts.get("around")
    if not isinstance(around, Mapping):
        raise JournalError(f"the journal does not say what {key} changed")
    if _present([key]).get(key) != text(facts, "value"):
        return  # somebody else has decided since
    with ExitStack() as stack:  # each is put back even if another cannot be
        for other in around:
            stack.callback(_restore, other, text(around, other))
        stack.callback(_restore, key, text(facts, "before"))  # the last callback runs first


def _restore(key: str, value: str) -> None:
    # Interfaces vanish, and their settings with them.
    if _present([key]).get(key, value) != value:
        write_setting(key, value)


def _present(keys: Iterable[str]) -> dict[str, str]:
    """The values of those settings that are there."""
    values: dict[str, str] = {}
    for key in keys:
        try:
            values[key] = read_setting(key)
        except SysctlError as exc:
            if not isinstance(exc.__cause__, FileNotFoundError):
                raise
    return values


def _per_interface(family: str, setting: str) -> list[str]:
    folder = _PROC_SYS / "net" / family / "conf"
    return sorted(_interface_key(family, entry.name, setting) for entry in folder.iterdir())


def _interface_key(family: str, interface: str, setting: str) -> str:
    return f"net.{family}.conf.{interface.replace('.', '/')}.{setting}"


def _path_of(key: str) -> Path:
    # sysctl(8): dots separate, and a slash stands for a dot that belongs to a name (eth0/100 is eth0.100).
    return _PROC_SYS.joinpath(*(part.replace("/", ".") for part in key.split(".")))
