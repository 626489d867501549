"""Which endpoints of a server are dialled, and in which order, for each transport."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from application.network.connection.transport import ResolutionError
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.network import resolution
from infrastructure.network.resolution import NameLookup, resolve

UDP, TCP, WS, WSS = TransportProtocol

LITERAL4 = IPv4Address("192.0.2.1")
LITERAL6 = IPv6Address("2001:db8::1")


class Resolver:
    """Answers look-ups from a table of (name, family); a missing entry fails with ``failure``.

    ``asked`` counts the look-ups.
    """

    def __init__(
        self, table: dict[tuple[str, int], list[str]], failure: str = "Name does not resolve"
    ) -> None:
        self._table = table
        self._failure = failure
        self.asked = 0

    async def __call__(self, name: str, port: int, family: int) -> Sequence[Endpoint]:
        self.asked += 1
        await asyncio.sleep(0)
        if (name, family) not in self._table:
            raise ResolutionError(self._failure)
        return [Endpoint(host, port) for host in self._table[name, family]]


async def resolver_that_never_answers(name: str, port: int, family: int) -> Sequence[Endpoint]:
    never: asyncio.Future[Sequence[Endpoint]] = asyncio.get_running_loop().create_future()
    return await never


BOTH = Resolver(
    {
        ("vpn.example", socket.AF_INET): ["192.0.2.10", "192.0.2.11"],
        ("vpn.example", socket.AF_INET6): ["2001:db8::10"],
    }
)


def profile(protocol: TransportProtocol, server: ServerAddress, port: int) -> TransportProfile:
    return TransportProfile(
        protocol=protocol,
        interface_name="c_tun0",
        ipv4_subnet=IPv4Network("10.0.0.0/24"),
        ipv6_subnet=None,
        server=server,
        port=port,
        mtu_bytes=1400,
        dial_timeout_ms=5000,
    )


def endpoints(
    server: ServerAddress,
    lookup: NameLookup = BOTH,
    *,
    protocol: TransportProtocol = UDP,
    port: int = 9090,
) -> list[Endpoint]:
    return asyncio.run(resolve(profile(protocol, server, port), lookup=lookup))


def hosts(
    server: ServerAddress, lookup: NameLookup = BOTH, *, protocol: TransportProtocol = UDP
) -> list[str]:
    return [endpoint.host for endpoint in endpoints(server, lookup, protocol=protocol)]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (UDP, ["192.0.2.1", "2001:db8::1", "192.0.2.10", "192.0.2.11", "2001:db8::10"]),
        (TCP, ["2001:db8::1", "192.0.2.1", "192.0.2.10", "192.0.2.11", "2001:db8::10"]),
        (WS, ["2001:db8::1", "192.0.2.10", "192.0.2.11", "2001:db8::10", "192.0.2.1"]),
        (WSS, ["2001:db8::1", "192.0.2.10", "192.0.2.11", "2001:db8::10", "192.0.2.1"]),
    ],
)
def test_a_server_with_everything(protocol: TransportProtocol, expected: list[str]) -> None:
    assert hosts(ServerAddress("vpn.example", LITERAL4, LITERAL6), protocol=protocol) == expected


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (UDP, ["192.0.2.1", "192.0.2.10", "192.0.2.11", "2001:db8::10"]),
        (TCP, ["2001:db8::10", "192.0.2.1", "192.0.2.10", "192.0.2.11"]),
        (WS, ["192.0.2.10", "192.0.2.11", "2001:db8::10", "192.0.2.1"]),
        (WSS, ["192.0.2.10", "192.0.2.11", "2001:db8::10", "192.0.2.1"]),
    ],
)
def test_a_server_with_a_name_and_an_ipv4_literal(protocol: TransportProtocol, expected: list[str]) -> None:
    assert hosts(ServerAddress("vpn.example", LITERAL4), protocol=protocol) == expected


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (UDP, ["192.0.2.10", "192.0.2.11", "2001:db8::10"]),
        (TCP, ["2001:db8::10", "192.0.2.10", "192.0.2.11"]),
        (WS, ["192.0.2.10", "192.0.2.11", "2001:db8::10"]),
        (WSS, ["192.0.2.10", "192.0.2.11", "2001:db8::10"]),
    ],
)
def test_a_server_with_a_name_alone(protocol: TransportProtocol, expected: list[str]) -> None:
    assert hosts(ServerAddress("vpn.example"), protocol=protocol) == expected


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (UDP, ["192.0.2.1", "2001:db8::1"]),
        (TCP, ["2001:db8::1", "192.0.2.1"]),
        (WS, ["2001:db8::1", "192.0.2.1"]),
        (WSS, ["2001:db8::1", "192.0.2.1"]),
    ],
)
def test_a_server_with_both_literals(protocol: TransportProtocol, expected: list[str]) -> None:
    assert hosts(ServerAddress(ipv4=LITERAL4, ipv6=LITERAL6), protocol=protocol) == expected


def test_port_zero_is_443_with_wss_and_with_nothing_else() -> None:
    server = ServerAddress("vpn.example", LITERAL4)
    assert {endpoint.port for endpoint in endpoints(server, protocol=WSS, port=0)} == {443}
    assert {endpoint.port for endpoint in endpoints(server, protocol=WS, port=0)} == {0}


def test_a_name_is_asked_for_anew_each_time() -> None:
    lookup = Resolver({("vpn.example", socket.AF_INET): ["192.0.2.10"]})
    for _ in range(2):
        hosts(ServerAddress("vpn.example"), lookup)
    assert lookup.asked == 4


@pytest.mark.parametrize("protocol", TransportProtocol)
def test_no_candidate_is_named_twice(protocol: TransportProtocol) -> None:
    server = ServerAddress("vpn.example", IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10"))
    found = hosts(server, protocol=protocol)
    assert sorted(found) == ["192.0.2.10", "192.0.2.11", "2001:db8::10"]


def test_one_family_of_a_name_is_enough() -> None:
    lookup = Resolver({("six.example", socket.AF_INET6): ["2001:db8::6"]})
    assert hosts(ServerAddress("six.example"), lookup) == ["2001:db8::6"]


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "192.0.2.10"), (socket.AF_INET6, "2001:db8::10")]
)
def test_a_resolver_that_answers_for_one_family_only_is_enough(
    monkeypatch: pytest.MonkeyPatch, family: int, host: str
) -> None:
    async def answers_for_one(name: str, port: int, asked_family: int) -> Sequence[Endpoint]:
        known = Resolver({(name, family): [host]}) if asked_family == family else resolver_that_never_answers
        return await known(name, port, asked_family)

    monkeypatch.setattr(resolution, "OTHER_FAMILY_S", 0.01)
    assert hosts(ServerAddress("half.example"), answers_for_one) == [host]


def test_a_name_without_an_address_is_named_with_the_resolvers_reason() -> None:
    with pytest.raises(ResolutionError, match=r"cannot resolve 'gone\.example': Name does not resolve$"):
        hosts(ServerAddress("gone.example"))


def test_a_name_that_has_no_address_in_any_family_says_so() -> None:
    nothing = Resolver({("no.example", socket.AF_INET): [], ("no.example", socket.AF_INET6): []})
    with pytest.raises(ResolutionError, match=r"cannot resolve 'no\.example': it has no address"):
        hosts(ServerAddress("no.example"), nothing)


def test_a_server_that_is_not_configured_has_no_endpoint() -> None:
    with pytest.raises(ResolutionError, match="names no server: set a domain"):
        hosts(ServerAddress())


def test_a_zone_without_an_interface_is_a_resolution_error() -> None:
    with pytest.raises(ResolutionError, match="no such interface"):
        hosts(ServerAddress(ipv6=IPv6Address("fe80::1%nosuchlink0")))


@pytest.mark.parametrize("protocol", TransportProtocol)
def test_a_name_that_fails_beside_a_literal_does_not_matter(protocol: TransportProtocol) -> None:
    assert hosts(ServerAddress("gone.example", LITERAL4), protocol=protocol) == ["192.0.2.1"]


@pytest.mark.parametrize("protocol", TransportProtocol)
def test_a_dead_resolver_does_not_hold_up_a_literal(
    monkeypatch: pytest.MonkeyPatch, protocol: TransportProtocol
) -> None:
    monkeypatch.setattr(resolution, "LOOKUP_BESIDE_LITERAL_S", 0.01)
    server = ServerAddress("vpn.example", LITERAL4)
    assert hosts(server, resolver_that_never_answers, protocol=protocol) == ["192.0.2.1"]
