"""Transcripts over a stream, frame by frame; any frame of an unexpected epoch would break it."""

import pytest

from domain.packets.service import PING
from domain.rekey.rules import REKEY_INTERVAL_S, Carrier, RekeyVersion
from domain.rekey.server import ServerPhase
from tests.domain.rekey.conversation import ClientEnd, ServerEnd, assert_agreed, rekey_once

INIT_AT_S = REKEY_INTERVAL_S


def ends(version: RekeyVersion) -> tuple[ClientEnd, ServerEnd]:
    return ClientEnd(version, Carrier.STREAM), ServerEnd(version, Carrier.STREAM)


@pytest.mark.parametrize("version", RekeyVersion)
def test_the_ack_travels_in_the_old_epoch_and_what_follows_it_in_the_new(version: RekeyVersion) -> None:
    client, server = ends(version)
    frames = server.receive(client.tick(INIT_AT_S))
    server.send(b"\x45 first in the new epoch")
    frames += server.take()

    client.receive(frames, INIT_AT_S)

    assert [epoch for epoch, _ in server.service_sent] == [0]
    assert client.packets == [b"\x45 first in the new epoch"]
    assert client.service_sent[-1] == (1, PING)


@pytest.mark.parametrize("version", RekeyVersion)
def test_frames_of_the_old_epoch_on_their_way_when_the_server_moves_on_are_accepted(
    version: RekeyVersion,
) -> None:
    client, server = ends(version)
    init = client.tick(INIT_AT_S)
    client.send(b"\x45 sent before the ack came")
    under_way = client.take()

    ack = server.receive(init)
    server.receive(under_way)
    assert server.rekey.phase is ServerPhase.RETIRING
    client.receive(server.receive(client.receive(ack, INIT_AT_S)), INIT_AT_S)

    assert server.packets == [b"\x45 sent before the ack came"]
    assert_agreed(client, server, epoch=1)


def test_a_repeated_init_is_answered_in_the_new_epoch_and_the_answer_is_ignored() -> None:
    client, server = ends(RekeyVersion.V2)
    init = client.tick(INIT_AT_S)
    late_ack = server.receive(init)
    repeated = client.tick(2 * INIT_AT_S)

    second_ack = server.receive(repeated)
    ping = client.receive(late_ack + second_ack, 2 * INIT_AT_S)
    client.receive(server.receive(ping), 2 * INIT_AT_S)

    assert [epoch for epoch, _ in server.service_sent] == [0, 1]
    assert client.rekey.ignored == 1
    assert_agreed(client, server, epoch=1)


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_thousand_rekeys_in_a_row_with_traffic_in_both_directions(version: RekeyVersion) -> None:
    client, server = ends(version)
    for epoch in range(1, 1001):
        now_s = epoch * INIT_AT_S
        client.send(b"\x45 up")
        server.send(b"\x45 down")
        to_server, to_client = client.take(), server.take()
        to_server += client.tick(now_s)
        to_client += server.receive(to_server)
        server.send(b"\x45 down")
        to_client += server.take()
        to_server = client.receive(to_client, now_s)
        client.send(b"\x45 up")
        to_server += client.take()
        client.receive(server.receive(to_server), now_s)

        assert_agreed(client, server, epoch)
    assert len(client.packets) == len(server.packets) == 2000


@pytest.mark.parametrize("version", RekeyVersion)
def test_both_ends_let_the_previous_epoch_go_once_the_other_is_in_the_new(version: RekeyVersion) -> None:
    client, server = ends(version)
    rekey_once(client, server, INIT_AT_S)

    # A second rekey needs the place of the previous epoch at either end.
    rekey_once(client, server, 2 * INIT_AT_S)

    assert_agreed(client, server, epoch=2)
