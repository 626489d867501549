"""Letting this host ask the name servers of its tunnel, by whatever means it has.

In this order, and the next one where that is not there or fails::

    systemd-resolved    name servers of the link; if resolv.conf leads to it alone, that is all
    resolvconf          a record for the interface; if resolv.conf then names nobody else, that is all
    resolv.conf         a file of ours in its place

The first may not be all: some programs ask systemd-resolved by its own protocol, whatever resolv.conf says,
and others read in a resolv.conf of somebody else whom to ask. Then both are set.

If nothing helps, the tunnel is of more use than none: it is logged, in one sentence, that names are asked for
as before. With the kill switch they get no further than the local network.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from application.runtime.log import EventLog
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.profile import TransportProfile
from infrastructure.pal.linux.dns.content import NameServer
from infrastructure.pal.linux.dns.file import RESOLV_CONF, servers_in_file
from infrastructure.pal.linux.dns.impatience import UnfinishedError
from infrastructure.pal.linux.dns.resolvconf import record_of, resolvconf_is_here
from infrastructure.pal.linux.dns.resolved import leads_to_resolved, resolved_is_here, servers_of_link
from infrastructure.pal.linux.dns.swap import content_of
from infrastructure.pal.linux.errors import NetworkError, ResolverError
from infrastructure.pal.linux.journal import Journal

_RESOLVED: Final = "systemd-resolved"
_RESOLVCONF: Final = "resolvconf"


def name_servers_of(profile: TransportProfile, carried: TunnelAddresses) -> list[NameServer]:
    """Those of ``profile`` that a tunnel with the addresses ``carried`` may reach, in their order."""
    return [*profile.dns_v4, *(profile.dns_v6 if carried.ipv6 is not None else ())]


@asynccontextmanager
async def host_asks(
    servers: Sequence[NameServer], interface: str, journal: Journal, log: EventLog, path: Path = RESOLV_CONF
) -> AsyncIterator[None]:
    """Programs of this host ask ``servers`` inside, through the open device ``interface``.

    Nothing is touched if there are none. Raises nothing of its own: ``log`` is told if name servers cannot be
    set, and if they cannot be put back; the journal then still knows them.
    """
    stack = AsyncExitStack()
    try:
        if servers:
            await _set_or_tell(stack, servers, interface, journal, log, path)
        yield
    finally:
        try:
            await stack.aclose()
        except UnfinishedError as error:
            log.warning("the name servers of this host are still being put back", reason=str(error))
        except NetworkError as error:
            log.error(  # noqa: TRY400 - an EventLog, which knows no tracebacks
                "the name servers of this host are not as before: try `tungo client cleanup`",
                reason=str(error),
            )


async def _set_or_tell(
    stack: AsyncExitStack,
    servers: Sequence[NameServer],
    interface: str,
    journal: Journal,
    log: EventLog,
    path: Path,
) -> None:
    try:
        means = await _set(stack, servers, interface, journal, log, path)
    except NetworkError as error:
        log.warning(
            "cannot set the tunnel's name servers: names are asked for as before, maybe beside the tunnel",
            reason=str(error),
        )
    else:
        log.info("name servers are set", servers=" ".join(map(str, servers)), by=means)


async def _set(
    stack: AsyncExitStack,
    servers: Sequence[NameServer],
    interface: str,
    journal: Journal,
    log: EventLog,
    path: Path,
) -> str:
    """By which means. Raises NetworkError."""
    if resolved_is_here():
        try:
            await stack.enter_async_context(servers_of_link(interface, servers))
        except ResolverError as error:
            log.warning("systemd-resolved does not take the tunnel's name servers", reason=str(error))
        else:
            if leads_to_resolved(content_of(path)):
                return _RESOLVED
    if resolvconf_is_here():
        try:
            await stack.enter_async_context(record_of(interface, servers, path, journal))
        except ResolverError as error:
            log.info("resolvconf is not enough for the tunnel's name servers", reason=str(error))
        else:
            return _RESOLVCONF
    await stack.enter_async_context(servers_in_file(path, servers, journal, log))
    return str(path)
