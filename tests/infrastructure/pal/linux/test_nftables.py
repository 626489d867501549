"""The rules that go into a tunnel's nftables table, as documents; what they do is in tests/netns."""

import json
from ipaddress import IPv4Network, IPv6Network

from infrastructure.pal.linux.nftables import Command, marked_reply_rules, server_rules

TABLE = "tungo_server_tun0"
IPV4 = IPv4Network("10.0.1.0/24")
IPV6 = IPv6Network("fd00:1::/64")


def objects(commands: list[Command], kind: str) -> list[str]:
    """The added objects of one kind, each as JSON text."""
    return [
        json.dumps(command["add"]) for command in commands if kind in json.loads(json.dumps(command["add"]))
    ]


def test_every_object_stands_in_the_table_of_the_interface() -> None:
    for commands in (server_rules(TABLE, "tun0", IPV4, IPV6), marked_reply_rules(TABLE, 7)):
        for command in commands:
            [added] = json.loads(json.dumps(command["add"])).values()
            assert (added["family"], added["table"]) == ("inet", TABLE)


def test_chains_accept_what_no_rule_matches() -> None:
    for chain in objects(server_rules(TABLE, "tun0", IPV4, IPV6), "chain"):
        assert '"policy": "accept"' in chain


def test_only_the_tunnel_subnets_are_translated() -> None:
    rules = [
        rule for rule in objects(server_rules(TABLE, "tun0", IPV4, IPV6), "rule") if "masquerade" in rule
    ]
    assert ['"10.0.1.0", "len": 24' in rule for rule in rules] == [True, False]
    assert ['"fd00:1::", "len": 64' in rule for rule in rules] == [False, True]


def test_without_ipv6_no_rule_names_ipv6() -> None:
    rules = objects(server_rules(TABLE, "tun0", IPV4, None), "rule")
    assert rules
    assert not any("ip6" in rule for rule in rules)


def test_no_rule_names_an_uplink() -> None:
    document = json.dumps(server_rules(TABLE, "tun0", IPV4, IPV6))
    assert (
        document.count('"oifname"') == 3
    )  # two translations leave by anything but the tunnel; one clamp enters it
    assert document.count('"op": "!="') == 2
