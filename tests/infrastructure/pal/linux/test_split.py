"""Which routes and rules the settings ask for, for hosts with and without IPv6."""

from ipaddress import ip_network

import pytest

from domain.addressing.split import Network
from domain.settings.routing import DEFAULT_ROUTING, TunnelRouting
from infrastructure.pal.linux.netlink import MAIN_TABLE, Family, PolicyRule
from infrastructure.pal.linux.split import RoutingPlan, plan_of

LOCAL = PolicyRule(priority=100, table=MAIN_TABLE, ignore_default=True)
TUNNEL = PolicyRule(priority=101, table=77, unless_mark=7)
BOTH = (Family.IPV4, Family.IPV6)


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def plan(routing: TunnelRouting = DEFAULT_ROUTING, families: tuple[Family, ...] = BOTH) -> RoutingPlan:
    return plan_of(routing, families, local_networks_rule=LOCAL, tunnel_rule=TUNNEL)


def test_without_any_wish_everything_goes_into_the_tunnel_or_nowhere() -> None:
    made = plan()
    assert made.table == TUNNEL.table
    assert set(made.into_tunnel) == set(made.last_resort) == set(networks("0.0.0.0/0", "::/0"))
    assert made.past == ()
    assert made.rules == (LOCAL, TUNNEL)


def test_a_host_without_ipv6_gets_no_ipv6_routes() -> None:
    made = plan(TunnelRouting(exclude=networks("10.0.0.0/8", "fd00::/8")), (Family.IPV4,))
    assert made.into_tunnel == made.last_resort == networks("0.0.0.0/0")
    assert made.past == networks("10.0.0.0/8")


def test_ipv6_that_may_leak_goes_into_the_tunnel_but_has_no_last_resort() -> None:
    made = plan(TunnelRouting(allow_ipv6_leak=True))
    assert "::/0" in map(str, made.into_tunnel)
    assert made.last_resort == networks("0.0.0.0/0")


@pytest.mark.parametrize(("exclude_lan", "rules"), [(True, (LOCAL, TUNNEL)), (False, (TUNNEL,))])
def test_the_local_networks_are_looked_up_first_where_they_stay_out(
    exclude_lan: bool,
    rules: tuple[PolicyRule, ...],
) -> None:
    assert plan(TunnelRouting(exclude_lan=exclude_lan)).rules == rules
