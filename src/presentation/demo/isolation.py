"""Rights and a mount namespace of its own, before the demo changes anything.

The demo starts itself again below ``unshare``: as root with a mount namespace, elsewhere with a user
namespace, in which everybody is root. The names of its network namespaces then live on a private tmpfs, so
that even a killed demo leaves none of them on the host.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from presentation.demo.errors import DemoError
from presentation.demo.programs import PACKAGES, attempt, environment, find, run

# Holds the mount namespace of whoever started the demo: proof that this process is in another one.
HOST_MOUNTS_VARIABLE: Final = "TUNGO_DEMO_HOST_MOUNTS"

# linux/capability.h
CAP_NET_ADMIN: Final = 12
CAP_SYS_ADMIN: Final = 21

_AS_ROOT: Final = ("--mount", "--propagation", "private")
_AS_USER: Final = ("--user", "--map-root-user", "--net", "--mount", "--propagation", "private")

_TUN_DEVICE: Final = Path("/dev/net/tun")
_NAMES: Final = Path("/run/netns")


def enter_isolation() -> None:
    """Return only in a process that has the rights and the mounts; the process may be replaced on the way.

    Raises DemoError, before anything has changed, when a program, the TUN device or a right is missing.
    """
    for command in PACKAGES:
        find(command)
    check_tun_device(_TUN_DEVICE)
    here = str(Path("/proc/self/ns/mnt").readlink())
    if is_isolated(os.environ, here):
        # Without a folder for the names, all of /run is replaced: a user namespace cannot make one there.
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(_NAMES if _NAMES.is_dir() else "/run"))
        return
    options = _AS_ROOT if may_configure_networks(Path("/proc/self/status").read_text("ascii")) else _AS_USER
    status, _, _ = attempt("unshare", *options, "mount", "-t", "tmpfs", "tmpfs", "/run")
    if status != 0:
        raise DemoError(
            "making network namespaces needs root here, because users may not make user namespaces",
            advice="run it with sudo, or a container with --cap-add NET_ADMIN --cap-add SYS_ADMIN",
        )
    argv = [find("unshare"), *options, "--", sys.executable, *sys.orig_argv[1:]]
    os.execve(argv[0], argv, {**environment(), HOST_MOUNTS_VARIABLE: here})  # noqa: S606 - no shell wanted


def is_isolated(variables: Mapping[str, str], mount_namespace: str) -> bool:
    """Whether ``mount_namespace`` is another one than that of whoever started the demo."""
    outside = variables.get(HOST_MOUNTS_VARIABLE)
    return outside is not None and outside != mount_namespace


def may_configure_networks(status: str) -> bool:
    """Whether ``/proc/<pid>/status`` shows the rights to make and configure namespaces."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            effective = int(value, 16)
            return all(effective >> right & 1 for right in (CAP_NET_ADMIN, CAP_SYS_ADMIN))
    return False


def check_tun_device(device: Path) -> None:
    """Raises DemoError if ``device`` is not there or cannot be opened."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError as error:
        raise DemoError(
            f"{device} is missing",
            advice="load it with `modprobe tun` as root, or start the container with --device /dev/net/tun",
        ) from error
    except OSError as error:
        raise DemoError(
            f"{device} cannot be opened: {error.strerror}",
            advice="run it with sudo, or let the container use the device (--device /dev/net/tun)",
        ) from error
