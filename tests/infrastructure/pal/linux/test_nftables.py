"""The rules that go into a tunnel's nftables table, as documents; what they do is in tests/netns."""

import json
from ipaddress import IPv4Network, IPv6Network

import pytest

from infrastructure.pal.linux.nftables import (
    Command,
    isolation_rules,
    marked_reply_rules,
    segment_size_rules,
    translation_rules,
)

TABLE = "tungo_server_tun0"
IPV4 = IPv4Network("10.0.1.0/24")
IPV6 = IPv6Network("fd00:1::/64")


def objects(commands: list[Command], kind: str) -> list[str]:
    """The added objects of one kind, each as JSON text."""
    return [
        json.dumps(command["add"]) for command in commands if kind in json.loads(json.dumps(command["add"]))
    ]


EVERY_KIND = [
    pytest.param(translation_rules(TABLE, "tun0", [IPV4, IPV6]), id="translation"),
    pytest.param(segment_size_rules(TABLE, "tun0"), id="segment-size"),
    pytest.param(isolation_rules(TABLE, "tun0", ["tun0", "tun1"]), id="isolation"),
    pytest.param(marked_reply_rules(TABLE, 7), id="marked-replies"),
]


@pytest.mark.parametrize("commands", EVERY_KIND)
def test_every_object_stands_in_the_table_of_the_interface(commands: list[Command]) -> None:
    assert commands
    for command in commands:
        [added] = json.loads(json.dumps(command["add"])).values()
        assert (added["family"], added["table"]) == ("inet", TABLE)


@pytest.mark.parametrize("commands", EVERY_KIND)
def test_chains_accept_what_no_rule_matches(commands: list[Command]) -> None:
    chains = objects(commands, "chain")
    assert chains
    assert all('"policy": "accept"' in chain for chain in chains)


def test_only_the_tunnel_subnets_are_translated_wherever_they_leave() -> None:
    first, second = objects(translation_rules(TABLE, "tun0", [IPV4, IPV6]), "rule")
    assert '"protocol": "ip"' in first
    assert '"10.0.1.0", "len": 24' in first
    assert '"protocol": "ip6"' in second
    assert '"fd00:1::", "len": 64' in second
    for rule in (first, second):
        assert '"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": "tun0"' in rule


def test_without_ipv6_no_rule_names_ipv6() -> None:
    assert "ip6" not in json.dumps(translation_rules(TABLE, "tun0", [IPV4]))
