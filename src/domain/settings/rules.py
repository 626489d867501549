"""The rules that hold for one transport profile, on a server and on a client alike, and for keys."""

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from domain.noise.primitives import KEY_BYTES
from domain.settings.errors import Problem, shown
from domain.settings.profile import (
    LARGEST_MTU_BYTES,
    SMALLEST_IPV4_MTU_BYTES,
    SMALLEST_IPV6_MTU_BYTES,
    TransportProfile,
    TransportProtocol,
)

# X25519: the public key (32 bytes) of a private key (32 bytes).
PublicKeyOf: TypeAlias = Callable[[bytes], bytes]

LAST_PORT: Final = 65535
LONGEST_INTERFACE_NAME_BYTES: Final = 15  # IFNAMSIZ of Linux less the final zero byte

# What Linux allows is wider; these are the characters that need no quoting in any tool's configuration.
_INTERFACE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def settings_path(slot: TransportProtocol) -> str:
    """The key of a slot's profile in the JSON document; WSS shares the slot of WS."""
    return "WSSettings" if slot is TransportProtocol.WSS else f"{slot.value}Settings"


def interface_name_problems(path: str, name: str) -> Iterator[Problem]:
    """``name`` must be one that Linux takes for an interface."""
    if len(name) > LONGEST_INTERFACE_NAME_BYTES or not _INTERFACE_NAME.fullmatch(name):
        expected = (
            f"an interface name of 1 to {LONGEST_INTERFACE_NAME_BYTES} letters, digits, '_', '-' or '.'"
        )
        yield Problem(f"{path}.TunName", shown(name), expected)


def port_problems(path: str, port: int, *, first: int = 1) -> Iterator[Problem]:
    """``port`` must be one that can be bound or dialled."""
    if not first <= port <= LAST_PORT:
        yield Problem(f"{path}.Port", shown(port), f"a port from {first} to {LAST_PORT}")


def mtu_problems(path: str, profile: TransportProfile, *, smallest_with_ipv6: int) -> Iterator[Problem]:
    """The MTU must carry the profile's address families and fit the 1500-byte packet buffers."""
    smallest = SMALLEST_IPV4_MTU_BYTES if profile.ipv6_subnet is None else smallest_with_ipv6
    if smallest <= profile.mtu_bytes <= LARGEST_MTU_BYTES:
        return
    why = "" if smallest < SMALLEST_IPV6_MTU_BYTES else ", because the tunnel carries IPv6"
    yield Problem(
        f"{path}.MTU",
        shown(profile.mtu_bytes),
        f"{smallest} to {LARGEST_MTU_BYTES} bytes{why}",
        related=(f"{path}.IPv6Subnet",),
    )


def key_problems(path: str, key: bytes) -> Iterator[Problem]:
    """``key`` must have the size of an X25519 key."""
    if len(key) != KEY_BYTES:
        yield Problem(path, shown(key), f"a key of {KEY_BYTES} bytes in base64")


def key_pair_problems(
    public_path: str, public_key: bytes, private_path: str, private_key: bytes, public_key_of: PublicKeyOf
) -> Iterator[Problem]:
    """The two keys must have the right size and belong together."""
    sizes = [*key_problems(public_path, public_key), *key_problems(private_path, private_key)]
    yield from sizes
    if not sizes and public_key_of(private_key) != public_key:
        yield Problem(
            public_path, "another key", f"the public key that fits {private_path}", related=(private_path,)
        )
