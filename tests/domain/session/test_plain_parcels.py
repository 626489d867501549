"""Parcels to and from a peer that knows nothing of aggregated frames."""

import pytest

from application.network.connection.crypto import ParcelCrypto
from domain.noise.keys import Role
from domain.packets.segment import segment
from domain.packets.service import PING, rekey_init_v1
from domain.session.datagram import DatagramSession
from domain.session.framing import split_frames
from domain.session.identifiers import Epoch
from domain.session.plain_parcels import PlainParcels
from domain.session.runs import ReceivedRun, SealedRun, cut
from domain.session.stream import StreamSession
from tests.adapters.primitives import PlainPrimitives
from tests.domain.packets.trains import TCP_IPV4, some_payload
from tests.domain.session.aggregating import (
    DATAGRAM_BYTES,
    SESSION_ID,
    keys_of,
    numbered,
    one_by_one,
    super_packet,
)

_: type[ParcelCrypto] = PlainParcels

EACH_SESSION = pytest.mark.parametrize("session", [DatagramSession, StreamSession])


def plain_session(
    session: type[DatagramSession | StreamSession], role: Role
) -> DatagramSession | StreamSession:
    return session(PlainPrimitives(), role, SESSION_ID, keys_of(0))


def arriving(session: type[DatagramSession | StreamSession], runs: list[SealedRun]) -> list[ReceivedRun]:
    """As the transport of such a session hands them out."""
    if session is DatagramSession:
        return list(runs)
    bodies, _ = split_frames(b"".join(run for run, _ in runs))
    return one_by_one(bodies)


@EACH_SESSION
def test_super_packets_travel_as_packets_and_come_out_joined(
    session: type[DatagramSession | StreamSession],
) -> None:
    client, server = (PlainParcels(plain_session(session, role)) for role in (Role.CLIENT, Role.SERVER))
    parcels = [numbered(1), super_packet(20), (TCP_IPV4.partial(b"x"), 0, True)]

    runs = arriving(session, client.seal_parcels(parcels))
    opened = server.open_parcels(runs)

    finished = (TCP_IPV4.packet(b"x"), 0, False)
    assert opened.parcels == [numbered(1), super_packet(20), finished]
    assert (opened.authenticated, opened.highest_epoch, opened.consumed) == (22, 0, len(runs))
    assert (opened.dropped, opened.malformed) == (0, 0)


@EACH_SESSION
def test_a_plain_peer_sees_plain_packets(session: type[DatagramSession | StreamSession]) -> None:
    client, peer = PlainParcels(plain_session(session, Role.CLIENT)), plain_session(session, Role.SERVER)
    frames = [
        frame for run in arriving(session, client.seal_parcels([super_packet(20)])) for frame in cut(run)
    ]

    assert peer.open(frames).packets == segment(super_packet(20))


def test_datagrams_of_one_size_leave_as_one_run() -> None:
    client = PlainParcels(plain_session(DatagramSession, Role.CLIENT))

    [(run, size)] = client.seal_parcels([super_packet(20)])

    assert (len(run), size) == (20 * DATAGRAM_BYTES, DATAGRAM_BYTES)


def test_the_newest_is_the_run_that_brought_the_newest_datagram() -> None:
    client, server = (
        PlainParcels(plain_session(DatagramSession, role)) for role in (Role.CLIENT, Role.SERVER)
    )
    runs = client.seal_parcels([numbered(1, 60), numbered(2, 50), numbered(3, 60), numbered(4, 60)])
    assert [len(cut(run)) for run in runs] == [2, 2]

    opened = server.open_parcels([runs[1], runs[0]])

    assert opened.newest == 0
    assert server.open_parcels([runs[0]]) == ([], [], 0, None, -1, 1, 2, 0)


def test_a_stream_stops_where_the_caller_has_to_act() -> None:
    client, server = (PlainParcels(plain_session(StreamSession, role)) for role in (Role.CLIENT, Role.SERVER))
    init = rekey_init_v1(bytes(32))
    frames = client.seal([numbered(1)[0], init, numbered(2)[0]])
    runs = arriving(StreamSession, [(frame, len(frame)) for frame in frames])

    opened = server.open_parcels(runs)

    assert (opened.parcels, opened.service, opened.consumed) == ([numbered(1)], [(0, init)], 2)
    assert server.open_parcels(runs[2:]).parcels == [numbered(2)]


def test_malformed_parcels_of_our_own_are_left_out_and_counted() -> None:
    client, server = (
        PlainParcels(plain_session(DatagramSession, role)) for role in (Role.CLIENT, Role.SERVER)
    )

    runs = client.seal_parcels([numbered(1), (bytes(100), 10, True), numbered(2)])

    assert server.open_parcels(runs).parcels == [numbered(1), numbered(2)]
    assert client.unsendable == 1


def test_everything_else_is_the_session_s() -> None:
    session = plain_session(DatagramSession, Role.CLIENT)
    client, peer = PlainParcels(session), plain_session(DatagramSession, Role.SERVER)
    client.install(Epoch(1), keys_of(1))
    client.activate(Epoch(1))
    peer.install(Epoch(1), keys_of(1))
    peer.activate(Epoch(1))

    assert client.send_epoch == session.send_epoch == 1
    assert peer.open(client.seal([PING])).service == [(1, PING)]
    assert client.open(peer.seal([some_payload(3)])).packets == [some_payload(3)]
    assert client.loss_report(1e9) is None
