"""Rules among those of iptables, where its FORWARD chain drops what nobody accepts (Docker, ufw).

nftables offers no way round: a packet must pass every table, so that an ``accept`` has to stand in the chain
that would drop it. Ours stand at its head, one for each direction, and are known by their comment::

    -A FORWARD -i s_udptun0 -m comment --comment "tungo:s_udptun0" -j ACCEPT
    -A FORWARD -o s_udptun0 -m comment --comment "tungo:s_udptun0" -j ACCEPT

There are two kinds of iptables, and a host may use both at the same time: iptables-nft, whose chains stand in
nftables, and the old one, which Debian calls iptables-legacy. Each comes once for IPv4 and once for IPv6.

Journal entries of the kind "iptables-rules"::

    {"program": "iptables-nft", "tag": "tungo:s_udptun0"}
"""

import shlex
import shutil
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from application.runtime.log import EventLog
from infrastructure.pal.linux.errors import IptablesError
from infrastructure.pal.linux.journal import Journal, Json, text
from infrastructure.pal.linux.netlink import Family
from infrastructure.pal.linux.nftables import dropping_forward_chains
from infrastructure.pal.linux.programs import run_program
from infrastructure.pal.linux.recorded import recorded

KIND: Final = "iptables-rules"

_CHAIN: Final = "FORWARD"

# The old iptables waits so long for another one to finish; iptables-nft never has to.
_WAIT: Final = ("-w", "5")
_PROGRAMS: Final = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}

# The chain of iptables-nft, as nftables knows it.
_NFT_CHAINS: Final = {Family.IPV4: f"ip filter {_CHAIN}", Family.IPV6: f"ip6 filter {_CHAIN}"}

# The tables of the old iptables that are in use; asking iptables itself would bring them into use. Of the
# thread: see ``namespace``.
_LEGACY_TABLES: Final = {
    Family.IPV4: Path("/proc/thread-self/net/ip_tables_names"),
    Family.IPV6: Path("/proc/thread-self/net/ip6_tables_names"),
}


@asynccontextmanager
async def forwarding_accepted(
    interface: str, families: Collection[Family], journal: Journal, log: EventLog
) -> AsyncIterator[None]:
    """What is forwarded from and to ``interface`` passes the FORWARD chains of iptables inside.

    Nothing is changed where no such chain drops. ``log`` is told of chains that drop and that this cannot
    help against: those of other programs, and where iptables is missing. Raises NetworkError.
    """
    async with AsyncExitStack() as stack:
        for chain, program in await _dropping_chains(families):
            try:
                await stack.enter_async_context(_accepted(program, interface, journal))
            except IptablesError as exc:
                log.warning(
                    "a firewall drops forwarded packets: allow those from and to the interface there",
                    chain=chain,
                    interface=interface,
                    reason=str(exc),
                )
        yield


async def undo(facts: Mapping[str, Json]) -> None:
    """Remove the rules that bear the tag. Raises IptablesError, JournalError."""
    program, tag = text(facts, "program"), text(facts, "tag")
    tagged = [rule for rule in await _rules(program) if _has_comment(rule, tag)]
    if tagged:
        await _edit(program, [rule.replace("-A", "-D", 1) for rule in tagged])


@asynccontextmanager
async def _accepted(program: str, interface: str, journal: Journal) -> AsyncIterator[None]:
    if not program:
        raise IptablesError("it is none that iptables, as installed here, could change")
    tag = f"tungo:{interface}"
    facts = {"program": program, "tag": tag}
    rules = [f"-I {_CHAIN} {way} {interface} -m comment --comment {tag} -j ACCEPT" for way in ("-o", "-i")]
    async with recorded(journal, KIND, facts, lambda: _edit(program, rules), undo):
        yield


async def _dropping_chains(families: Collection[Family]) -> list[tuple[str, str]]:
    """Each dropping chain, as the log names it, with the program whose it is, "" if there is none."""
    owners = {_NFT_CHAINS[family]: _installed(_PROGRAMS[family], "nft", "legacy") for family in families}
    others = {_NFT_CHAINS[family] for family in Family if family not in families}
    found = [
        (chain, owners.get(chain, "")) for chain in await dropping_forward_chains() if chain not in others
    ]
    for family in families:
        if "filter" in _words_in(_LEGACY_TABLES[family]):
            program = _installed(_PROGRAMS[family], "legacy", "nft")
            if not program or await _drops(program):
                found.append((f"{_PROGRAMS[family]}-legacy filter {_CHAIN}", program))
    return found


async def _drops(program: str) -> bool:
    return any(rule.split()[:3] == ["-P", _CHAIN, "DROP"] for rule in await _rules(program))


async def _rules(program: str) -> list[str]:
    """The chain, a line for its policy and one for each rule, as iptables would take them."""
    return (await _run(program, *_WAIT, "-S", _CHAIN)).splitlines()


async def _edit(program: str, commands: Sequence[str]) -> None:
    """All of ``commands`` or none."""
    document = "\n".join(["*filter", *commands, "COMMIT", ""])
    await _run(f"{program}-restore", *_WAIT, "--noflush", document=document)


def _has_comment(rule: str, tag: str) -> bool:
    return ("--comment", tag) in pairwise(shlex.split(rule))


def _installed(program: str, kind: str, other_kind: str) -> str:
    """What the ``kind`` of ``program`` is called here, "" if it is not installed.

    Distributions with one kind only have it without a suffix.
    """
    if shutil.which(f"{program}-{kind}"):
        return f"{program}-{kind}"
    return program if shutil.which(program) and not shutil.which(f"{program}-{other_kind}") else ""


def _words_in(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").split()
    except OSError:
        return []


async def _run(program: str, *arguments: str, document: str = "") -> str:
    try:
        finished = await run_program(program, *arguments, document=document.encode())
    except OSError as exc:
        raise IptablesError(f"cannot start {program}: {exc.strerror}") from exc
    if finished.status != 0:
        raise IptablesError(f"{program} refused: {finished.reason}")
    return finished.output.decode(errors="replace")
