"""The index of a server's sessions: who is found by what, and who may take whose place."""

from ipaddress import IPv4Network, IPv6Network

from application.server.sessions import MAX_WAITING_PER_PEER, PeerSession, SessionRepository
from domain.addressing.endpoint import Endpoint
from domain.addressing.peers import Peer
from domain.addressing.tunnel import client_addresses
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.session.datagram import DatagramSession
from domain.session.liveness import SERVER_IDLE_LIMIT_S
from domain.session.plain_parcels import PlainParcels
from infrastructure.cryptography.primitives import PycaPrimitives
from tests.adapters.egress import RecordingEgress
from tests.application.bed import idle_rekey

ALICE = Peer(public_key=b"a" * 32, client_id=1, name="alice")
BOB = Peer(public_key=b"b" * 32, client_id=2, name="bob")
IPV4 = IPv4Network("10.0.1.0/24")
IPV6 = IPv6Network("fd00:1::/64")


def session(peer: Peer, number: int, now_s: float = 0.0) -> PeerSession:
    session_id = SessionId(bytes([number]) * 32)
    crypto = DatagramSession(PycaPrimitives(), Role.SERVER, session_id, EpochKeys(bytes(32), bytes(32)))
    return PeerSession(
        peer=peer,
        route_id=crypto.route_id,
        addresses=client_addresses(IPV4, IPV6, peer.client_id),
        crypto=PlainParcels(crypto),
        egress=RecordingEgress(Endpoint("192.0.2.7", 4000 + number)),
        rekey=idle_rekey(peer),
        now_s=now_s,
    )


def holder(sessions: SessionRepository, peer: Peer) -> PeerSession | None:
    addresses = client_addresses(IPV4, IPV6, peer.client_id)
    assert addresses.ipv6 is not None
    by_ipv4 = sessions.find_by_tunnel_address(addresses.ipv4.ip.packed)
    assert sessions.find_by_tunnel_address(addresses.ipv6.ip.packed) is by_ipv4
    return by_ipv4


def closed(of: PeerSession) -> bool:
    assert isinstance(of.egress, RecordingEgress)
    return of.egress.closed


def test_a_first_session_has_its_addresses_before_it_has_sent_anything() -> None:
    sessions = SessionRepository()
    first = session(ALICE, 1)
    sessions.add(first)
    assert holder(sessions, ALICE) is first
    assert sessions.find_by_route_id(first.route_id) is first
    assert sessions.find_by_public_key(ALICE.public_key) == [first]
    assert holder(sessions, BOB) is None
    assert len(sessions) == 1


def test_a_second_session_waits_until_it_has_proved_itself() -> None:
    sessions = SessionRepository()
    first, second = session(ALICE, 1), session(ALICE, 2)
    sessions.add(first)
    sessions.prove(first)
    sessions.add(second)
    assert holder(sessions, ALICE) is first
    assert sessions.find_by_route_id(second.route_id) is second

    assert sessions.prove(second) == [first]
    assert holder(sessions, ALICE) is second
    assert sessions.find_by_route_id(first.route_id) is None
    assert closed(first)
    assert not closed(second)


def test_a_replayed_message_1_evicts_nobody_however_often_it_comes() -> None:
    sessions = SessionRepository()
    living = session(ALICE, 1)
    sessions.add(living)
    sessions.prove(living)
    for number in range(2, 200):
        sessions.add(session(ALICE, number))
    assert holder(sessions, ALICE) is living
    assert not closed(living)
    assert len(sessions) == 1 + MAX_WAITING_PER_PEER


def test_replays_before_the_first_datagram_cannot_grow_the_table_either() -> None:
    sessions = SessionRepository()
    for number in range(1, 200):
        sessions.add(session(ALICE, number))
    assert len(sessions) == MAX_WAITING_PER_PEER
    newest = sessions.find_by_public_key(ALICE.public_key)[-1]
    sessions.prove(newest)
    assert list(sessions) == [newest]
    assert holder(sessions, ALICE) is newest


def test_a_datagram_of_the_old_session_does_not_undo_a_newer_one_that_waits() -> None:
    sessions = SessionRepository()
    first, second = session(ALICE, 1), session(ALICE, 2)
    sessions.add(first)
    sessions.add(second)
    assert sessions.prove(first) == []
    assert sessions.find_by_route_id(second.route_id) is second
    assert sessions.prove(second) == [first]


def test_removing_a_replaced_session_again_leaves_its_successor_alone() -> None:
    sessions = SessionRepository()
    first, second = session(ALICE, 1), session(ALICE, 2)
    sessions.add(first)
    sessions.add(second)
    sessions.prove(second)
    sessions.remove(first)
    assert holder(sessions, ALICE) is second
    assert sessions.find_by_public_key(ALICE.public_key) == [second]


def test_a_peer_that_takes_over_a_client_id_takes_over_its_address() -> None:
    sessions = SessionRepository()
    heir = Peer(public_key=b"h" * 32, client_id=ALICE.client_id)
    before, after = session(ALICE, 1), session(heir, 2)
    sessions.add(before)
    sessions.prove(before)
    sessions.add(after)
    assert holder(sessions, ALICE) is before
    assert sessions.prove(after) == [before]
    assert holder(sessions, ALICE) is after


def test_only_silent_sessions_expire() -> None:
    sessions = SessionRepository()
    silent, talking = session(ALICE, 1, now_s=0.0), session(BOB, 2, now_s=0.0)
    sessions.add(silent)
    sessions.add(talking)
    talking.last_authenticated_s = 20.0
    assert sessions.expire(SERVER_IDLE_LIMIT_S) == []
    assert sessions.expire(SERVER_IDLE_LIMIT_S + 0.1) == [silent]
    assert list(sessions) == [talking]
    assert closed(silent)
    assert holder(sessions, ALICE) is None
