"""Taking back what a killed process has changed on this host, as its journal says."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from application.runtime.log import EventLog
from infrastructure.pal.linux import iptables, nftables, policy_rules, split, sysctl
from infrastructure.pal.linux.dns import file, resolvconf
from infrastructure.pal.linux.errors import AnotherInstanceError, ResolverError
from infrastructure.pal.linux.journal import CLIENT, Entry, Journal, JournalFolder, Json

Undo: TypeAlias = Callable[[Mapping[str, Json]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Remedy:
    """How entries of one kind are taken back, and what they are called, with facts of theirs in braces.

    ``undo`` may be called for a change that was never made or has been taken back already. ``on_disk`` is
    true of changes that outlast the network namespace and the run of the machine in which they were made.
    """

    undo: Undo
    name: str
    on_disk: bool = False


_NAME_SERVERS: Final = "the name servers in {path}"

REMEDIES: Final[Mapping[str, Remedy]] = {
    iptables.KIND: Remedy(iptables.undo, "the rules with the comment {tag} of {program}"),
    nftables.KIND: Remedy(nftables.undo, "the firewall table inet {name}"),
    policy_rules.KIND: Remedy(policy_rules.undo, "the routing rules of the client"),
    file.KIND: Remedy(file.undo, _NAME_SERVERS, on_disk=True),
    file.KIND_OF_CONTENT: Remedy(file.undo_content, _NAME_SERVERS, on_disk=True),
    resolvconf.KIND: Remedy(resolvconf.undo, "the name servers of {record} in resolvconf", on_disk=True),
    split.KIND: Remedy(split.undo, "the routes past the tunnel in table {table}"),
    sysctl.KIND: Remedy(sysctl.undo, "the kernel setting {key}"),
}


@dataclass(slots=True)
class Recovery:
    """What became of the entries of journals, in words: ``undone``, and ``failed`` with the reasons.

    ``running`` are sentences about journals whose process runs: they were left alone.
    """

    undone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)


@asynccontextmanager
async def journal_of(
    folder: JournalFolder, role: str, interface: str, log: EventLog
) -> AsyncIterator[Journal]:
    """The journal of ``role`` and ``interface`` for as long as they are in use.

    What a killed process has left in it is taken back first, and ``log`` told. Raises AnotherInstanceError,
    JournalError.
    """
    with folder.claimed(role, interface) as journal:
        recovery = Recovery()
        await undo_all(journal, recovery)
        if recovery.undone:
            log.warning(
                "took back what a killed process had left behind",
                interface=interface,
                changes=len(recovery.undone),
            )
        for reason in recovery.failed:
            log.error("cannot take back what a killed process has left behind", reason=reason)
        yield journal


async def recover_names(folder: JournalFolder, log: EventLog) -> None:
    """Take back what killed clients have left, before the client that is about to start looks up a name.

    Their name servers are behind their tunnel, and out of reach with it. Raises JournalError.
    """
    recovery = await clean_up(folder, CLIENT)
    if recovery.undone:
        log.warning("took back what a killed process had left behind", changes=len(recovery.undone))
    for reason in recovery.failed:
        log.error("cannot take back what a killed process has left behind", reason=reason)


async def clean_up(folder: JournalFolder, role: str) -> Recovery:
    """Take back what killed processes of ``role`` have left in this network namespace.

    Of a client also its name servers, where no journal tells of them any more. Raises JournalError.
    """
    recovery = Recovery()
    for interface in folder.interfaces(role):
        try:
            with folder.claimed(role, interface) as journal:
                await undo_all(journal, recovery)
        except AnotherInstanceError as exc:
            recovery.running.append(str(exc))
    if role == CLIENT:
        _undo_unwritten(recovery)
    return recovery


async def undo_all(journal: Journal, recovery: Recovery) -> None:
    """Take back the entries of ``journal``, the last one first, and say in ``recovery`` how it went.

    An entry that cannot be taken back keeps no other one from it, and stays in the journal; so does one of a
    kind that only a newer version knows. What a running process has on its account as well is left to that.
    Raises JournalError.
    """
    for number, entry in reversed(list(journal.entries.items())):
        remedy = REMEDIES.get(entry.kind)
        if remedy is None:
            recovery.failed.append(f"{entry.kind} is nothing that this version knows")
            continue
        if journal.is_void(number) and not remedy.on_disk:
            journal.strike(number)
            continue
        if journal.pass_on(number):
            continue
        name = _name_of(entry, remedy)
        try:
            await remedy.undo(entry.facts)
        except Exception as exc:  # whatever it is, the others have to be taken back
            recovery.failed.append(f"{name}: {exc}")
        else:
            journal.strike(number)
            recovery.undone.append(name)


def _undo_unwritten(recovery: Recovery) -> None:
    name = _NAME_SERVERS.format(path=file.RESOLV_CONF)
    try:
        if file.put_back_of_the_dead(file.RESOLV_CONF):
            recovery.undone.append(name)
    except ResolverError as exc:
        recovery.failed.append(f"{name}: {exc}")


def _name_of(entry: Entry, remedy: Remedy) -> str:
    try:
        return remedy.name.format_map(entry.facts)
    except KeyError:
        return entry.kind
