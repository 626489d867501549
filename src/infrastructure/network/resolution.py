"""From a profile's server to the endpoints to dial, the preferred one first (protocol specification 7).

All of them are tried, each with a head start over the next, so the order is the whole of the preference::

    UDP        IPv4 literal, IPv6 literal, A, AAAA
    TCP        IPv6 literal or else AAAA, IPv4 literal, A; beside an IPv6 literal, AAAA comes last
    WS, WSS    IPv6 literal, A, AAAA, IPv4 literal: the domain is the host that the server goes by
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

from application.network.connection.transport import ResolutionError
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import WSS_DEFAULT_PORT, ServerAddress, TransportProfile, TransportProtocol
from infrastructure.network.addresses import literal_endpoint
from infrastructure.network.names import look_up

# Ours: beside a literal there is always something to dial, and a dead resolver must not use up the time for
# it.
LOOKUP_BESIDE_LITERAL_S: Final = 1.0

# Ours: how much longer than the one family the other may take. Some resolvers never answer a question for
# IPv6 addresses; those that do answer both within moments of each other (RFC 8305 section 3 waits for 50 ms).
OTHER_FAMILY_S: Final = 0.25

# The addresses of a name in one family (AF_INET or AF_INET6); may be empty. Raises ResolutionError.
NameLookup: TypeAlias = Callable[[str, int, int], Awaitable[Sequence[Endpoint]]]


class _Candidates(NamedTuple):
    """What is known of a server, by origin and family."""

    ipv4: Sequence[Endpoint]
    ipv6: Sequence[Endpoint]
    a: Sequence[Endpoint] = ()
    aaaa: Sequence[Endpoint] = ()


async def resolve(profile: TransportProfile, *, lookup: NameLookup = look_up) -> list[Endpoint]:
    """The server's endpoints in order of preference, never empty.

    With a literal the name gets LOOKUP_BESIDE_LITERAL_S, and its failure does not matter. As soon as one
    family of a name has an address, the other gets OTHER_FAMILY_S. Raises ResolutionError.
    """
    server = profile.server
    candidates = _literals(server, _port(profile))
    if server.domain:
        candidates = await _with_name(candidates, server.domain, _port(profile), lookup)
    endpoints = list(dict.fromkeys(_in_order(profile.protocol, candidates)))
    if not endpoints:
        raise ResolutionError("the configuration names no server: set a domain, an IPv4 or an IPv6 address")
    return endpoints


def _port(profile: TransportProfile) -> int:
    if profile.port == 0 and profile.protocol is TransportProtocol.WSS:
        return WSS_DEFAULT_PORT
    return profile.port


def _in_order(protocol: TransportProtocol, found: _Candidates) -> list[Endpoint]:
    match protocol:
        case TransportProtocol.UDP:
            return [*found.ipv4, *found.ipv6, *found.a, *found.aaaa]
        case TransportProtocol.TCP:
            return [*(found.ipv6 or found.aaaa), *found.ipv4, *found.a, *found.aaaa]
        case TransportProtocol.WS | TransportProtocol.WSS:
            return [*found.ipv6, *found.a, *found.aaaa, *found.ipv4]


def _literals(server: ServerAddress, port: int) -> _Candidates:
    ipv4 = [] if server.ipv4 is None else [literal_endpoint(server.ipv4, port)]
    try:
        ipv6 = [] if server.ipv6 is None else [literal_endpoint(server.ipv6, port)]
    except OSError as exc:
        raise ResolutionError(f"{server.ipv6}: there is no such interface") from exc
    return _Candidates(ipv4, ipv6)


async def _with_name(literals: _Candidates, name: str, port: int, lookup: NameLookup) -> _Candidates:
    reasons: list[str] = []
    found: dict[int, Sequence[Endpoint]] = {}
    has_literal = bool(literals.ipv4 or literals.ipv6)
    limit = asyncio.timeout(LOOKUP_BESIDE_LITERAL_S if has_literal else None)

    async def ask(family: int) -> None:
        try:
            found[family] = await lookup(name, port, family)
        except ResolutionError as exc:
            reasons.append(str(exc))
        if found.get(family) and limit.when() is None:
            limit.reschedule(asyncio.get_running_loop().time() + OTHER_FAMILY_S)

    with suppress(TimeoutError):  # what there is by then is enough to go on with
        async with limit, asyncio.TaskGroup() as lookups:
            lookups.create_task(ask(socket.AF_INET))
            lookups.create_task(ask(socket.AF_INET6))
    if not (has_literal or any(found.values())):
        why = "; ".join(dict.fromkeys(reasons)) or "it has no address"
        raise ResolutionError(f"cannot resolve {name!r}: {why}")
    return literals._replace(a=found.get(socket.AF_INET, ()), aaaa=found.get(socket.AF_INET6, ()))
