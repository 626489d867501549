"""Whether the tunnel's subnets are those of networks that this host is in."""

from collections.abc import Sequence
from typing import Final

from application.diagnosis.finding import Finding
from domain.settings.profile import TransportProfile
from infrastructure.pal.linux.collisions import refuse_collisions
from infrastructure.pal.linux.doctor.wording import worded
from infrastructure.pal.linux.errors import SubnetCollisionError
from infrastructure.pal.linux.netlink import open_netlink

_ADVICE_SERVER: Final = "choose another IPv4Subnet or IPv6Subnet on the server and generate the clients anew"
_ADVICE_CLIENT: Final = "connect from another network, or have the server use another subnet"


async def examine_server_subnets(profiles: Sequence[TransportProfile]) -> Sequence[Finding]:
    """Raises NetworkError."""
    return [await _finding(profile, _ADVICE_SERVER, is_client=False) for profile in profiles]


async def examine_client_subnets(profiles: Sequence[TransportProfile]) -> Sequence[Finding]:
    """A network with the server itself in it does no harm. Raises NetworkError."""
    return [await _finding(profile, _ADVICE_CLIENT, is_client=True) for profile in profiles]


async def _finding(profile: TransportProfile, advice: str, *, is_client: bool) -> Finding:
    subnets = [subnet for subnet in (profile.ipv4_subnet, profile.ipv6_subnet) if subnet is not None]
    server = [address for address in (profile.server.ipv4, profile.server.ipv6) if address is not None]
    try:
        async with open_netlink() as netlink:
            await refuse_collisions(
                netlink,
                profile.interface_name,
                subnets,
                advice,
                harmless_with=server if is_client else (),
            )
    except SubnetCollisionError as exc:
        return worded(exc)
    inside = " or ".join(map(str, subnets))
    return Finding.ok(f"no network of this host overlaps with {inside} ({profile.protocol.value})")
