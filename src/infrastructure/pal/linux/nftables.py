"""The firewall rules of a tunnel, in a table of its own that is made and removed as a whole.

Every change is one JSON document for ``nft -j -f -``, which the kernel applies completely or not at all. A
table is only ever named by its full name: other programs' tables are not read for rules, changed or
flushed.

That a table of our name is really ours shows in a chain of it, named after a random number that stands in the
journal: the transaction that removes the table begins with removing that chain, and fails if there is none.
Journal entries of the kind "nft-table"::

    {"name": "tungo_server_s_udptun0", "seal": "made_by_tungo_5f0c2d9e1b7a4c36"}
"""

import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeAlias

from infrastructure.pal.linux.errors import ForeignNameError, NftablesError, NftMissingError, NftRightsError
from infrastructure.pal.linux.journal import Journal, Json, text
from infrastructure.pal.linux.programs import run_program
from infrastructure.pal.linux.recorded import recorded

# One command of the document, such as {"add": {"table": ...}}.
Command: TypeAlias = Mapping[str, Json]

_FAMILY: Final = "inet"  # IPv4 and IPv6 in one table

# Priorities of nft(8): `mangle`, `filter` and `srcnat`.
_MANGLE: Final = -150
_FILTER: Final = 0
_SOURCE_NAT: Final = 100

_NFT: Final = "nft"
_SEAL: Final = "made_by_tungo_"

# What nft says, in the C locale, when an object to be created is there and one to be deleted is not.
_EXISTS: Final = "File exists"
_ABSENT: Final = "No such file or directory"

# The same about a process without CAP_NET_ADMIN; its exit status is that of any other failure.
_DENIED: Final = "Operation not permitted"

KIND: Final = "nft-table"


@asynccontextmanager
async def owned_table(name: str, contents: Sequence[Command], journal: Journal) -> AsyncIterator[None]:
    """The table ``name`` of family inet holds ``contents`` inside and is gone afterwards.

    Raises ForeignNameError if there is such a table already, NftablesError and JournalError.
    """
    facts = {"name": name, "seal": f"{_SEAL}{secrets.token_hex(8)}"}
    async with recorded(journal, KIND, facts, lambda: _create(facts, contents), undo):
        yield


async def undo(facts: Mapping[str, Json]) -> None:
    """Remove the table if it is the one that these facts are of. Raises NftablesError, JournalError."""
    table = _table_of(facts)
    seal: Json = {"family": _FAMILY, "table": text(facts, "name"), "name": text(facts, "seal")}
    try:
        await apply([{"delete": {"chain": seal}}, {"delete": {"table": table}}])
    except NftMissingError:
        raise
    except NftablesError as exc:
        if _ABSENT not in str(exc):
            raise


async def _create(facts: Mapping[str, Json], contents: Sequence[Command]) -> None:
    name = text(facts, "name")
    seal: Json = {"family": _FAMILY, "table": name, "name": text(facts, "seal")}
    try:
        await apply([{"create": {"table": _table_of(facts)}}, {"add": {"chain": seal}}, *contents])
    except NftablesError as exc:
        if _EXISTS not in str(exc):
            raise
        raise ForeignNameError(
            f"somebody else has a firewall table {_FAMILY} {name}: rename or remove it, "
            f"for instance with `nft delete table {_FAMILY} {name}`"
        ) from exc


def _table_of(facts: Mapping[str, Json]) -> Json:
    return {"family": _FAMILY, "name": text(facts, "name")}


async def apply(commands: Sequence[Command]) -> None:
    """Have the kernel carry out all of ``commands`` as one transaction, or none. Raises NftablesError."""
    await _run([_NFT, "-j", "-f", "-"], json.dumps({"nftables": commands}).encode())


async def has_table(name: str) -> bool:
    """Whether there is a table ``name`` of family inet. Raises NftablesError."""
    tables = await _listed("table")
    return any((table.get("family"), table.get("name")) == (_FAMILY, name) for table in tables)


async def has_chain(table: str, name: str) -> bool:
    """Whether the table of family inet has this chain. Raises NftablesError."""
    place = (_FAMILY, table, name)
    return any(
        (chain.get("family"), chain.get("table"), chain.get("name")) == place
        for chain in await _listed("chain")
    )


def translation_rules(
    table: str, interface: str, subnets: Iterable[IPv4Network | IPv6Network]
) -> list[Command]:
    """What a client sends on leaves under the server's own address, whatever interface that is.

    The uplink may change, and each family may have its own.
    """
    rules = [_chain(table, "translate", "nat", "postrouting", _SOURCE_NAT)]
    for subnet in subnets:
        protocol = "ip" if subnet.version == 4 else "ip6"
        rules.append(
            _rule(
                table,
                "translate",
                _match({"payload": {"protocol": protocol, "field": "saddr"}}, _prefix(subnet)),
                _match({"meta": {"key": "oifname"}}, interface, operator="!="),
                {"masquerade": None},
            )
        )
    return rules


def isolation_rules(table: str, interface: str, tunnels: Sequence[str]) -> list[Command]:
    """What clients of the interface send to clients behind any of the interfaces ``tunnels`` is dropped."""
    return [
        _chain(table, "isolate", "filter", "forward", _FILTER),
        _rule(
            table,
            "isolate",
            _match({"meta": {"key": "iifname"}}, interface),
            _match({"meta": {"key": "oifname"}}, {"set": tunnels}),
            {"drop": None},
        ),
    ]


def segment_size_rules(table: str, interface: str) -> list[Command]:
    """TCP connections through the tunnel agree on segments that fit the path."""
    rules = [_chain(table, "segment_size", "filter", "forward", _MANGLE)]
    is_syn = _match({"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}, "syn")
    # The kernel takes the smaller MTU of both directions' routes, and never raises the value.
    fit_the_path = _set({"tcp option": {"name": "maxseg", "field": "size"}}, {"rt": {"key": "mtu"}})
    rules += [
        _rule(table, "segment_size", _match({"meta": {"key": direction}}, interface), is_syn, fit_the_path)
        for direction in ("iifname", "oifname")
    ]
    return rules


def marked_reply_rules(table: str, mark: int) -> list[Command]:
    """Give the answers to our marked packets the same mark before the kernel looks where they came from.

    Strict reverse path filtering asks the routing rules for the way back to the server. Without the mark
    the answer is "into the tunnel", and every datagram of the server would be dropped.
    """
    packet_mark: Json = {"meta": {"key": "mark"}}
    connection_mark: Json = {"ct": {"key": "mark"}}
    return [
        _chain(table, "remember_mark", "filter", "postrouting", _MANGLE),
        _rule(table, "remember_mark", _match(packet_mark, mark), _set(connection_mark, packet_mark)),
        _chain(table, "recall_mark", "filter", "prerouting", _MANGLE),
        _rule(table, "recall_mark", _match(connection_mark, mark), _set(packet_mark, connection_mark)),
    ]


async def dropping_forward_chains() -> list[str]:
    """The chains of any program that drop forwarded packets unless a rule of theirs accepts.

    Each as ``family table chain``. An ``accept`` in a table of ours would not help: in nftables a packet must
    pass every table. Chains of the old iptables (not iptables-nft) are not seen. Raises NftablesError.
    """
    return [
        f"{chain.get('family')} {chain.get('table')} {chain.get('name')}"
        for chain in await _listed("chain")
        if (chain.get("hook"), chain.get("policy")) == ("forward", "drop")
    ]


async def _listed(kind: str) -> list[dict[str, object]]:
    """All objects of a kind ("table", "chain"), as nft describes them. Raises NftablesError."""
    listing: object = json.loads(await _run([_NFT, "-j", "list", f"{kind}s"]))
    entries = listing.get("nftables") if isinstance(listing, dict) else None
    objects = [entry.get(kind) for entry in entries or () if isinstance(entry, dict)]
    return [found for found in objects if isinstance(found, dict)]


def _chain(table: str, name: str, kind: str, hook: str, priority: int) -> Command:
    place: dict[str, Json] = {"family": _FAMILY, "table": table, "name": name}
    return {"add": {"chain": {**place, "type": kind, "hook": hook, "prio": priority, "policy": "accept"}}}


def _rule(table: str, chain: str, *expression: Json) -> Command:
    return {"add": {"rule": {"family": _FAMILY, "table": table, "chain": chain, "expr": expression}}}


def _match(left: Json, right: Json, operator: str = "==") -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _set(key: Json, value: Json) -> Json:
    return {"mangle": {"key": key, "value": value}}


def _prefix(subnet: IPv4Network | IPv6Network) -> Json:
    return {"prefix": {"addr": str(subnet.network_address), "len": subnet.prefixlen}}


async def _run(command: Sequence[str], document: bytes = b"") -> bytes:
    """What nft prints. If cancelled, nft has either changed everything or nothing when this ends."""
    try:
        finished = await run_program(*command, document=document)
    except FileNotFoundError as exc:
        raise NftMissingError(
            "the program nft is not installed: install the package nftables (Debian: `apt install nftables`)"
        ) from exc
    except OSError as exc:
        raise NftablesError(f"cannot start nft: {exc.strerror}") from exc
    if finished.status != 0 and _DENIED in finished.reason:
        raise NftRightsError("nft may not look at the firewall rules: run as root or with CAP_NET_ADMIN")
    if finished.status != 0:
        raise NftablesError(f"nft refused the firewall rules: {finished.reason}")
    return finished.output
