"""Detecting the host's address, on the loopback interface alone."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from application.runtime.configuration import HostUnknownError
from domain.settings.profile import ServerAddress
from infrastructure.pal.configuration.host_detection import RouteHostDetection

NO_IPV4_ROUTE = (
    "2001:db8::1"  # not an address of the family: the kernel refuses it as it refuses a missing route
)
NO_IPV6_ROUTE = "192.0.2.1"

has_ipv6 = Path("/proc/net/if_inet6").exists() and bool(Path("/proc/net/if_inet6").read_text())


def test_the_source_address_of_the_route_is_the_hosts() -> None:
    detected = RouteHostDetection("127.0.0.9", NO_IPV6_ROUTE).detect_host()
    assert detected == ServerAddress(ipv4=IPv4Address("127.0.0.1"))


@pytest.mark.skipif(not has_ipv6, reason="the kernel has no IPv6")
def test_both_families_are_asked() -> None:
    detected = RouteHostDetection("127.0.0.1", "::1").detect_host()
    assert detected == ServerAddress(ipv4=IPv4Address("127.0.0.1"), ipv6=IPv6Address("::1"))


def test_no_route_in_either_family_is_an_error_that_quotes_both_and_says_what_to_do() -> None:
    with pytest.raises(HostUnknownError, match=r"IPv4: .+; IPv6: .+; set Host"):
        RouteHostDetection(NO_IPV4_ROUTE, NO_IPV6_ROUTE).detect_host()
