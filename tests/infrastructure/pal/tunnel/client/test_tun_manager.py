"""The numbers and names of a client on the host; what they do is in tests/netns and tests/contracts."""

from infrastructure.pal.linux.netlink import MAIN_TABLE
from infrastructure.pal.tunnel.client.tun_manager import LOCAL_NETWORKS_RULE, SINK_INTERFACE, TUNNEL_RULE

MAIN_RULE_PRIORITY = 32766  # of every Linux
LONGEST_INTERFACE_NAME = 15  # IFNAMSIZ counts a zero byte


def test_the_rules_stand_in_their_order_before_the_main_table() -> None:
    assert LOCAL_NETWORKS_RULE.priority < TUNNEL_RULE.priority < MAIN_RULE_PRIORITY
    assert LOCAL_NETWORKS_RULE.table == MAIN_TABLE != TUNNEL_RULE.table


def test_the_name_of_the_last_resort_fits_linux() -> None:
    assert len(SINK_INTERFACE.encode()) <= LONGEST_INTERFACE_NAME
