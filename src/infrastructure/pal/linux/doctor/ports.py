"""Whether a server can listen, and what a client can know of the server's port without a handshake.

A handshake would tell everything, and is not tried: to some servers it is the client's new session, and the
tunnel that it has in this moment would end.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final

from application.diagnosis.finding import Finding
from application.network.connection.transport import (
    Dialer,
    DialForbiddenError,
    ResolutionError,
    TransportError,
)
from application.network.stream.listener import StreamBindError, StreamBindForbiddenError
from application.network.udp.listener import UdpBindError, UdpBindForbiddenError
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import TransportProfile, TransportProtocol
from infrastructure.network.addresses import family_of, socket_address_of
from infrastructure.network.resolution import resolve
from infrastructure.network.sockets import reason
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.network.udp.sockets import SocketOptions, open_datagram_socket, opened
from infrastructure.pal.linux.doctor.journals import running
from infrastructure.pal.linux.doctor.wording import worded
from infrastructure.pal.linux.errors import JournalRightsError
from infrastructure.pal.linux.journal import SERVER, JournalFolder

# Ours: an answer by ICMP comes in one round trip, and none is longer than this.
_SILENCE_S: Final = 1.5
_CONNECT_S: Final = 5.0

# Ours: one byte is no message of any kind, and a server of any kind drops it unseen.
_NOTHING: Final = b"\x00"

_IN_USE_BY_SOMEBODY: Final = Finding.warning(
    "a port is in use, by the server or by another program", "run this as root to know by which"
)
_ADVICE: Final = "look whether the server runs and listens there, and whether a firewall on the way blocks it"


async def examine_listeners(
    profiles: Sequence[TransportProfile], journals: JournalFolder
) -> Sequence[Finding]:
    """Each port is bound for a moment, unless a server has it. Raises JournalError."""
    try:
        served = running(journals, SERVER)
    except JournalRightsError:
        return [_bound(profile, in_use=_IN_USE_BY_SOMEBODY) for profile in profiles]
    return [
        Finding.ok(f"{_named(profile)} is served") if profile.interface_name in served else _bound(profile)
        for profile in profiles
    ]


async def examine_reach(
    profiles: Sequence[TransportProfile], dialer_of: Callable[[TransportProfile], Dialer], mark: int | None
) -> Sequence[Finding]:
    """What answers at the server of each of ``profiles``, over streams up to where the handshake would begin.

    ``mark`` leads past a tunnel that is there already; None without the right to it.
    """
    return await asyncio.gather(*(_reached(profile, dialer_of, mark) for profile in profiles))


def _bound(profile: TransportProfile, in_use: Finding | None = None) -> Finding:
    """Whether the port can be had; ``in_use`` is what to say if not, None for what the kernel says."""
    literal = profile.server.ipv4 or profile.server.ipv6
    host = None if literal is None else str(literal)
    try:
        if profile.protocol is TransportProtocol.UDP:
            BoundUdpListener.bind(host, profile.port).close()
        else:
            BoundStreamListener.bind(host, profile.port).close()
    except (StreamBindForbiddenError, UdpBindForbiddenError) as exc:
        return Finding.warning(str(exc).rstrip("."), "run this as root to know whether the port is free")
    except (StreamBindError, UdpBindError) as exc:
        return in_use or worded(exc)
    return Finding.ok(f"{_named(profile)} is free")


def _named(profile: TransportProfile) -> str:
    carrier = "UDP" if profile.protocol is TransportProtocol.UDP else "TCP"
    return f"{carrier} port {profile.port}"


async def _reached(
    profile: TransportProfile, dialer_of: Callable[[TransportProfile], Dialer], mark: int | None
) -> Finding:
    try:
        if profile.protocol is TransportProtocol.UDP:
            [endpoint, *_] = await resolve(profile)
            return await _knocked(endpoint, mark)
        dialer = dialer_of(profile)
        [endpoint, *_] = await dialer.resolve(profile)
        return await _dialled(dialer, endpoint, profile.protocol.value)
    except ResolutionError as exc:
        return Finding.problem(str(exc).rstrip("."), "put the resolver right first")


async def _dialled(dialer: Dialer, endpoint: Endpoint, name: str) -> Finding:
    """Raises DialForbiddenError."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            (await dialer.dial(endpoint)).close()
    except DialForbiddenError:
        raise
    except TransportError as exc:
        return Finding.problem(str(exc).rstrip("."), _ADVICE)
    except TimeoutError:
        return Finding.problem(f"{name} to {endpoint} is not answered", _ADVICE)
    return Finding.ok(f"{name} to {endpoint} is answered")


async def _knocked(endpoint: Endpoint, mark: int | None) -> Finding:
    """What the kernel hears about a datagram to ``endpoint``; servers keep silent to strangers."""
    family = family_of(endpoint)
    try:
        with opened(open_datagram_socket, family, SocketOptions(mark)) as knocking:
            knocking.connect(socket_address_of(endpoint, family))
            knocking.send(_NOTHING)
            await _hear(knocking)
    except OSError as exc:
        return Finding.problem(f"UDP to {endpoint} is refused: {reason(exc)}", _ADVICE)
    return Finding.ok(
        f"UDP to {endpoint} is not refused (whether a server hears it, only `tungo client` can tell)"
    )


async def _hear(knocking: socket.socket) -> None:
    """Wait for whatever comes back. Raises OSError if that is a refusal."""
    try:
        async with asyncio.timeout(_SILENCE_S):
            await asyncio.get_running_loop().sock_recv(knocking, 1)
    except TimeoutError:
        return
