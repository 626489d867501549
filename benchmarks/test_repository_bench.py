"""Finding a peer must cost the same among 10 000 sessions as among 10."""

from ipaddress import IPv4Network, IPv6Network

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from application.server.sessions import PeerSession, SessionRepository
from domain.addressing.endpoint import Endpoint
from domain.addressing.peers import Peer
from domain.addressing.tunnel import client_addresses
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.session.datagram import DatagramSession
from domain.session.plain_parcels import PlainParcels
from infrastructure.cryptography.primitives import PycaPrimitives
from tests.adapters.egress import RecordingEgress
from tests.application.bed import idle_rekey

IPV4_SUBNET = IPv4Network("10.0.0.0/16")
IPV6_SUBNET = IPv6Network("fd00:1::/64")
PRIMITIVES = PycaPrimitives()


def repository_of(count: int) -> SessionRepository:
    sessions = SessionRepository()
    for client_id in range(1, count + 1):
        peer = Peer(public_key=client_id.to_bytes(32), client_id=client_id)
        session_id = SessionId(client_id.to_bytes(8) * 4)
        crypto = DatagramSession(PRIMITIVES, Role.SERVER, session_id, EpochKeys(bytes(32), bytes(32)))
        sessions.add(
            PeerSession(
                peer=peer,
                route_id=crypto.route_id,
                addresses=client_addresses(IPV4_SUBNET, IPV6_SUBNET, client_id),
                crypto=PlainParcels(crypto),
                egress=RecordingEgress(Endpoint("192.0.2.1", client_id)),
                rekey=idle_rekey(peer),
                now_s=0.0,
            )
        )
    return sessions


@pytest.mark.parametrize("count", [10, 10_000])
def test_find_by_route_id(benchmark: BenchmarkFixture, count: int) -> None:
    sessions = repository_of(count)
    route_id = (count // 2).to_bytes(8)
    found = benchmark(sessions.find_by_route_id, route_id)
    assert found is not None
    assert found.peer.client_id == count // 2


@pytest.mark.parametrize("count", [10, 10_000])
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_find_by_tunnel_address(benchmark: BenchmarkFixture, count: int, family: str) -> None:
    sessions = repository_of(count)
    addresses = client_addresses(IPV4_SUBNET, IPV6_SUBNET, count // 2)
    assert addresses.ipv6 is not None
    raw = addresses.ipv4.ip.packed if family == "ipv4" else addresses.ipv6.ip.packed
    found = benchmark(sessions.find_by_tunnel_address, raw)
    assert found is not None
    assert found.peer.client_id == count // 2
