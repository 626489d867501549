"""Which network namespace this thread is in, and which kernel runs it."""

import socket
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

# Of the thread, not of the process: a test, or a supervisor, may have its threads in several namespaces.
_NAMESPACE: Final = Path("/proc/thread-self/ns/net")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

# <asm-generic/socket.h>; Linux 5.14
_SO_NETNS_COOKIE: Final = 71


@dataclass(frozen=True, slots=True)
class KernelState:
    """What rules, routes and kernel settings live and die with: a boot of the machine, a network namespace.

    ``namespace`` is a number that the kernel never gives to another one before the next boot, as it does with
    inodes; 0 where it does not tell.
    """

    boot: str
    namespace: int

    @classmethod
    def current(cls) -> "KernelState":
        """That of this thread."""
        return cls(boot=_boot_id(), namespace=_namespace_cookie())

    def as_dict(self) -> dict[str, str | int]:
        """For a JSON document."""
        return asdict(self)


def namespace_inode() -> int:
    """The number by which programs know the network namespace of this thread."""
    return _NAMESPACE.stat().st_ino


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def _namespace_cookie() -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            value = any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            return 0
    return int(struct.unpack("=Q", value)[0])
