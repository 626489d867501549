"""Netlink's refusals, told in sentences: in a namespace without any of the things asked for."""

import sys
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Interface, IPv4Network

import pytest

from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.netlink import Family, Netlink, PolicyRule, open_netlink
from tests.netns.bed import NetnsBed

pytestmark = pytest.mark.netns

RULE = PolicyRule(priority=31000, table=31000, unless_mark=7)
LOCAL_NETWORKS = PolicyRule(priority=31000, table=31000, ignore_default=True)

UNPRIVILEGED_PROGRAM = """
import asyncio, os
from infrastructure.pal.linux.errors import NetworkRightsError
from infrastructure.pal.linux.netlink import open_netlink

async def run():
    async with open_netlink() as netlink:
        os.setuid(65534)
        try:
            await netlink.set_up("lo")
        except NetworkRightsError as exc:
            print(exc)

asyncio.run(run())
"""


def ask(bed: NetnsBed, question: Callable[[Netlink], Awaitable[object]]) -> object:
    async def run() -> object:
        async with open_netlink() as netlink:
            return await question(netlink)

    return bed.namespace("netlink").call_async(run)


def test_a_missing_interface_is_named(bed: NetnsBed) -> None:
    with pytest.raises(NetworkError, match="no interface tun-test"):
        ask(bed, lambda netlink: netlink.set_mtu("tun-test", 1400))


def test_an_mtu_that_the_driver_refuses_is_named(bed: NetnsBed) -> None:
    namespace = bed.namespace("mtu")
    namespace.run("ip", "tuntap", "add", "dev", "tun-test", "mode", "tun")

    async def run() -> None:
        async with open_netlink() as netlink:
            await netlink.set_mtu("tun-test", 10)

    with pytest.raises(NetworkError, match="cannot set the MTU of tun-test to 10"):
        namespace.call_async(run)


def test_an_address_that_is_there_already_is_named(bed: NetnsBed) -> None:
    with pytest.raises(NetworkError, match=r"cannot give lo the address 127\.0\.0\.1/8: File exists"):
        ask(bed, lambda netlink: netlink.add_address("lo", IPv4Interface("127.0.0.1/8"), subnet_route=True))


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("rule", [RULE, LOCAL_NETWORKS])
def test_a_rule_is_deleted_and_those_that_resemble_it_stay(
    bed: NetnsBed, family: Family, rule: PolicyRule
) -> None:
    namespace = bed.namespace("rules")
    option = "-6" if family is Family.IPV6 else "-4"
    for resembling in (
        ("table", "42"),
        ("table", "31000"),
        ("table", "31000", "fwmark", "8"),
        ("table", "31000", "suppress_prefixlength", "1"),
    ):
        namespace.run("ip", option, "rule", "add", "priority", "31000", *resembling)
    others = namespace.run("ip", option, "rule")

    async def run() -> tuple[str, list[int]]:
        async with open_netlink() as netlink:
            await netlink.add_rule(family, rule)
            with_ours = namespace.run("ip", option, "rule")
            priorities = await netlink.rule_priorities(family)
            await netlink.delete_rules(family, rule)
            await netlink.delete_rules(family, rule)
            return with_ours, priorities

    with_ours, priorities = namespace.call_async(run)
    assert len(with_ours.splitlines()) == len(others.splitlines()) + 1
    assert priorities.count(31000) == 5
    assert namespace.run("ip", option, "rule") == others


def test_a_table_is_empty_until_a_route_is_added(bed: NetnsBed) -> None:
    async def look(netlink: Netlink) -> tuple[bool, bool]:
        empty = await netlink.has_routes(Family.IPV4, 31000)
        await netlink.add_route("lo", IPv4Network("0.0.0.0/0"), 31000)
        return empty, await netlink.has_routes(Family.IPV4, 31000)

    assert ask(bed, look) == (False, True)


def test_a_process_without_rights_is_told_which_it_needs(bed: NetnsBed) -> None:
    with bed.namespace("rights").start(sys.executable, "-c", UNPRIVILEGED_PROGRAM) as program:
        assert program.stdout is not None
        assert program.stdout.read() == "cannot set lo up: run as root or with CAP_NET_ADMIN\n"
