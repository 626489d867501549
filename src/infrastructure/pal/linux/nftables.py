"""The firewall rules of a tunnel, in a table of its own that is replaced and removed as a whole.

Every change is one JSON document for ``nft -j -f -``, which the kernel applies completely or not at all. A
table is only ever named by its full name: other programs' tables are not read for rules, changed or
flushed.
"""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeAlias

from infrastructure.pal.linux.errors import NftablesError, NftMissingError

Json: TypeAlias = "str | int | Sequence[Json] | Mapping[str, Json] | None"

# One command of the document, such as {"add": {"table": ...}}.
Command: TypeAlias = Mapping[str, Json]

_FAMILY: Final = "inet"  # IPv4 and IPv6 in one table

# Priorities of nft(8): `mangle` and `srcnat`.
_MANGLE: Final = -150
_SOURCE_NAT: Final = 100

_NFT: Final = "nft"


@asynccontextmanager
async def owned_table(name: str, contents: Sequence[Command]) -> AsyncIterator[None]:
    """The table ``name`` of family inet holds exactly ``contents`` inside and is gone afterwards.

    A table of that name left by a killed process is replaced in the same transaction. Raises NftablesError.
    """
    table: Json = {"family": _FAMILY, "name": name}
    # Adding first makes the deletion succeed whether the table is there or not.
    remove: list[Command] = [{"add": {"table": table}}, {"delete": {"table": table}}]
    try:
        await _apply([*remove, {"add": {"table": table}}, *contents])
    except asyncio.CancelledError:
        await _apply(remove)  # nft may have been done by then
        raise
    try:
        yield
    finally:
        await _apply(remove)


def server_rules(
    table: str, interface: str, ipv4_subnet: IPv4Network, ipv6_subnet: IPv6Network | None
) -> list[Command]:
    """A server's rules.

    What a client sends on leaves under the server's own address, whatever interface that is: the uplink may
    change and each family may have its own. TCP connections through the tunnel agree on segments that fit
    the path.
    """
    rules = [_chain(table, "translate", "nat", "postrouting", _SOURCE_NAT)]
    for protocol, subnet in (("ip", ipv4_subnet), ("ip6", ipv6_subnet)):
        if subnet is not None:
            rules.append(
                _rule(
                    table,
                    "translate",
                    _match({"payload": {"protocol": protocol, "field": "saddr"}}, _prefix(subnet)),
                    _match({"meta": {"key": "oifname"}}, interface, operator="!="),
                    {"masquerade": None},
                )
            )
    rules.append(_chain(table, "segment_size", "filter", "forward", _MANGLE))
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

    An ``accept`` in a table of ours would not help: in nftables a packet must pass every table. Chains of the
    old iptables (not iptables-nft) are not seen. Raises NftablesError.
    """
    listing: object = json.loads(await _run([_NFT, "-j", "list", "chains"]))
    objects = listing.get("nftables") if isinstance(listing, dict) else None
    found: list[str] = []
    for entry in objects if isinstance(objects, list) else []:
        chain = entry.get("chain") if isinstance(entry, dict) else None
        if isinstance(chain, dict) and (chain.get("hook"), chain.get("policy")) == ("forward", "drop"):
            found.append(f"{chain.get('family')} {chain.get('table')} {chain.get('name')}")
    return found


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


async def _apply(commands: Sequence[Command]) -> None:
    await _run([_NFT, "-j", "-f", "-"], json.dumps({"nftables": commands}).encode())


@contextmanager
def _document_file(document: bytes) -> Iterator[int]:
    """A descriptor of a file in memory that holds ``document``, at its beginning."""
    descriptor = os.memfd_create("nft")
    try:
        os.write(descriptor, document)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


async def _run(command: Sequence[str], document: bytes = b"") -> bytes:
    """What nft prints.

    If cancelled, nft is left to finish first: it has either changed everything or nothing.
    """
    try:
        # A file and not a pipe: nft opens /dev/stdin anew, and uvloop's pipes are sockets: they have no name.
        with _document_file(document) as stdin:
            process = await asyncio.create_subprocess_exec(*command, stdin=stdin, stdout=PIPE, stderr=PIPE)
    except FileNotFoundError as exc:
        raise NftMissingError(
            "the program nft is not installed: install the package nftables (Debian: `apt install nftables`)"
        ) from exc
    except OSError as exc:
        raise NftablesError(f"cannot start nft: {exc.strerror}") from exc
    conversation = asyncio.ensure_future(process.communicate())
    try:
        output, complaint = await asyncio.shield(conversation)
    except asyncio.CancelledError:
        await conversation
        raise
    if process.returncode != 0:
        lines = complaint.decode(errors="replace").strip().splitlines() or [
            f"exit status {process.returncode}"
        ]
        raise NftablesError(f"nft refused the firewall rules: {lines[0]}")
    return output
