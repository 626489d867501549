import math

import pytest

from domain.packets.service import (
    EPOCH_EXHAUSTED,
    PING,
    SERVICE_HEADER_BYTES,
    SERVICE_PREFIX,
    ServicePacketType,
    rekey_ack_v1,
    rekey_ack_v2,
)
from domain.rekey.client import ClientEvent, ClientPhase
from domain.rekey.effects import ActivateEpoch, InstallEpoch, RekeyDiverged, RekeyExhausted, SendService
from domain.rekey.rules import (
    CONFIRM_PING_S,
    CONFIRM_WITHIN_S,
    FIRST_REPEAT_S,
    LAST_REPEAT_S,
    REFUSED_ACKS_LIMIT,
    REKEY_INTERVAL_S,
    Carrier,
    IllegalEventError,
    RekeyVersion,
    repeat_delays,
)
from domain.session.identifiers import FIRST_EPOCH, Epoch
from tests.domain.rekey.conversation import ClientEnd, ServerEnd, assert_agreed, rekey_once

V1, V2 = RekeyVersion.V1, RekeyVersion.V2
DATAGRAM, STREAM = Carrier.DATAGRAM, Carrier.STREAM
INIT_AT_S = REKEY_INTERVAL_S

REFUSED_ACK = {V1: rekey_ack_v1(bytes(32)), V2: rekey_ack_v2(bytes(48))}


def inits(client: ClientEnd) -> list[tuple[Epoch, bytes]]:
    """Every init sent so far, with the epoch that carried it."""
    types = (ServicePacketType.REKEY_INIT_V1, ServicePacketType.REKEY_INIT_V2)
    return [(epoch, packet) for epoch, packet in client.service_sent if packet[2] in types]


def awaiting_ack(version: RekeyVersion, carrier: Carrier = DATAGRAM) -> ClientEnd:
    client = ClientEnd(version, carrier)
    client.tick(INIT_AT_S)
    assert client.rekey.phase is ClientPhase.AWAITING_ACK
    return client


@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("version", RekeyVersion)
def test_an_idle_session_rekeys_when_the_interval_is_over(version: RekeyVersion, carrier: Carrier) -> None:
    client, server = ClientEnd(version, carrier), ServerEnd(version, carrier)

    assert client.rekey.next_deadline() == INIT_AT_S
    assert client.tick(INIT_AT_S - 0.001) == []
    rekey_once(client, server, INIT_AT_S)

    assert_agreed(client, server, epoch=1)
    assert client.rekey.next_deadline() == 2 * INIT_AT_S


@pytest.mark.parametrize("version", RekeyVersion)
def test_after_the_ack_a_ping_goes_out_in_the_new_epoch_at_once(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    server.receive(client.tick(INIT_AT_S))
    _, ack = server.service_sent[-1]

    effects = client.rekey.receive(FIRST_EPOCH, ack, INIT_AT_S)

    keys = client.rekey.current_keys
    assert effects == [InstallEpoch(Epoch(1), keys), ActivateEpoch(Epoch(1)), SendService(PING)]
    assert client.rekey.phase is ClientPhase.CONFIRMING


def test_an_unanswered_init_of_version_2_is_repeated_byte_for_byte_ever_more_slowly() -> None:
    client = awaiting_ack(V2)

    pauses = []
    now_s = INIT_AT_S
    for _ in range(7):
        pauses.append(client.rekey.next_deadline() - now_s)
        now_s = client.rekey.next_deadline()
        assert client.tick(now_s - 0.001) == []
        client.tick(now_s)

    assert pauses[0] == FIRST_REPEAT_S
    assert pauses == [1, 2, 4, 8, 16, 16, 16]
    assert pauses[-1] == LAST_REPEAT_S
    assert len(inits(client)) == 8
    assert len(set(inits(client))) == 1


def test_over_datagrams_an_init_of_version_1_is_repeated_at_the_next_interval_and_no_earlier() -> None:
    client = awaiting_ack(V1)

    assert client.rekey.next_deadline() == 2 * INIT_AT_S
    assert client.tick(2 * INIT_AT_S - 0.001) == []
    client.tick(2 * INIT_AT_S)

    assert len(inits(client)) == 2
    assert len(set(inits(client))) == 1


def test_over_a_stream_an_init_of_version_1_is_never_repeated() -> None:
    client = awaiting_ack(V1, STREAM)

    for intervals in range(2, 50):
        assert client.tick(intervals * INIT_AT_S) == []

    assert len(inits(client)) == 1


def test_over_a_stream_an_init_of_version_2_is_repeated_at_the_next_interval() -> None:
    client = awaiting_ack(V2, STREAM)

    assert client.rekey.next_deadline() == 2 * INIT_AT_S
    client.tick(2 * INIT_AT_S)

    assert len(inits(client)) == 2
    assert len(set(inits(client))) == 1


def test_only_an_idempotent_server_is_asked_again_within_an_interval() -> None:
    delays = {
        (version, carrier): repeat_delays(version, carrier, REKEY_INTERVAL_S).first_s
        for version in RekeyVersion
        for carrier in Carrier
    }

    assert delays == {
        (V1, DATAGRAM): REKEY_INTERVAL_S,
        (V1, STREAM): math.inf,
        (V2, DATAGRAM): FIRST_REPEAT_S,
        (V2, STREAM): REKEY_INTERVAL_S,
    }


@pytest.mark.parametrize("version", RekeyVersion)
def test_an_ack_in_another_epoch_than_its_init_is_ignored(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    server.receive(client.tick(INIT_AT_S))
    _, ack = server.service_sent[-1]

    assert client.rekey.receive(Epoch(1), ack, INIT_AT_S) == []

    assert client.rekey.phase is ClientPhase.AWAITING_ACK
    assert client.rekey.ignored == 1


@pytest.mark.parametrize("version", RekeyVersion)
def test_an_ack_of_the_rekey_before_does_not_answer_a_new_init(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    rekey_once(client, server, INIT_AT_S)
    carrier_epoch, old_ack = server.service_sent[-1]
    client.tick(2 * INIT_AT_S)

    assert client.rekey.receive(carrier_epoch, old_ack, 2 * INIT_AT_S) == []

    assert client.rekey.phase is ClientPhase.AWAITING_ACK
    assert client.rekey.ignored == 1


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_second_ack_is_ignored_while_confirming_and_after(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    ack_frame = server.receive(client.tick(INIT_AT_S))
    carrier_epoch, ack = server.service_sent[-1]
    ping_frame = client.receive(ack_frame, INIT_AT_S)

    assert client.rekey.receive(carrier_epoch, ack, INIT_AT_S) == []
    assert client.rekey.phase is ClientPhase.CONFIRMING
    client.receive(server.receive(ping_frame), INIT_AT_S)
    assert client.rekey.receive(carrier_epoch, ack, INIT_AT_S) == []

    assert_agreed(client, server, epoch=1)


@pytest.mark.parametrize(("agreed", "other"), [(V1, V2), (V2, V1)])
def test_an_ack_of_the_other_version_is_ignored(agreed: RekeyVersion, other: RekeyVersion) -> None:
    client = awaiting_ack(agreed)
    stranger = ServerEnd(other)
    stranger.receive(ClientEnd(other).tick(INIT_AT_S))
    _, ack = stranger.service_sent[-1]

    assert client.rekey.receive(FIRST_EPOCH, ack, INIT_AT_S) == []

    assert client.rekey.phase is ClientPhase.AWAITING_ACK


@pytest.mark.parametrize("version", RekeyVersion)
def test_the_right_ack_is_taken_after_one_that_yields_no_keys(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    ack_frame = server.receive(client.tick(INIT_AT_S))

    assert client.rekey.receive(FIRST_EPOCH, REFUSED_ACK[version], INIT_AT_S) == []
    assert client.rekey.refused == 1
    client.receive(server.receive(client.receive(ack_frame, INIT_AT_S)), INIT_AT_S)

    assert_agreed(client, server, epoch=1)


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_server_whose_acks_never_open_ends_the_session(version: RekeyVersion) -> None:
    client = awaiting_ack(version)
    for _ in range(REFUSED_ACKS_LIMIT - 1):
        client.rekey.receive(FIRST_EPOCH, REFUSED_ACK[version], INIT_AT_S)
        client.tick(client.rekey.next_deadline())
        assert client.verdict is None
    client.rekey.receive(FIRST_EPOCH, REFUSED_ACK[version], INIT_AT_S)

    assert client.tick(client.rekey.next_deadline()) == []

    assert client.verdict == RekeyDiverged()
    assert client.rekey.next_deadline() == math.inf
    assert client.rekey.handle_timer(10 * INIT_AT_S, client.entropy) == []


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_lost_ping_is_repeated_until_the_server_is_seen_in_the_new_epoch(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    client.receive(server.receive(client.tick(INIT_AT_S)), INIT_AT_S)  # its ping gets lost

    assert server.crypto.send_epoch == 0
    assert client.rekey.next_deadline() == INIT_AT_S + CONFIRM_PING_S
    ping = client.tick(INIT_AT_S + CONFIRM_PING_S)
    pong = server.receive(ping)
    assert server.crypto.send_epoch == 1
    client.receive(pong, INIT_AT_S + CONFIRM_PING_S)

    assert_agreed(client, server, epoch=1)
    assert client.rekey.next_deadline() == 2 * INIT_AT_S


def test_over_a_stream_the_ping_is_not_repeated() -> None:
    client, server = ClientEnd(V2, STREAM), ServerEnd(V2, STREAM)
    ack = server.receive(client.tick(INIT_AT_S))

    assert len(client.receive(ack, INIT_AT_S)) == 1

    assert client.rekey.next_deadline() == INIT_AT_S + CONFIRM_WITHIN_S


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_server_that_stays_in_the_old_epoch_ends_the_session(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    client.receive(server.receive(client.tick(INIT_AT_S)), INIT_AT_S)
    now_s = INIT_AT_S
    for _ in range(100):
        now_s = client.rekey.next_deadline()
        client.tick(now_s)  # every ping gets lost
        if client.verdict is not None:
            break
        server.send(b"\x45 data in the old epoch")
        client.receive(server.take(), now_s)

    assert client.verdict == RekeyDiverged()
    assert now_s == INIT_AT_S + CONFIRM_WITHIN_S
    assert client.packets


def test_an_interval_that_ends_while_confirming_is_skipped() -> None:
    client, server = ClientEnd(V2, interval_s=10.0), ServerEnd(V2)
    ping = client.receive(server.receive(client.tick(10.0)), 19.5)
    client.tick(20.0)
    client.receive(server.receive(ping), 20.1)

    assert_agreed(client, server, epoch=1)
    assert client.rekey.next_deadline() == 30.0


@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("version", RekeyVersion)
def test_epoch_exhausted_ends_the_session_in_every_phase(version: RekeyVersion, carrier: Carrier) -> None:
    client, server = ClientEnd(version, carrier), ServerEnd(version, carrier, last_epoch=FIRST_EPOCH)

    client.receive(server.receive(client.tick(INIT_AT_S)), INIT_AT_S)

    assert client.verdict == RekeyExhausted()
    assert client.rekey.phase is ClientPhase.ENDED
    assert server.service_sent == [(FIRST_EPOCH, EPOCH_EXHAUSTED)]

    idle = ClientEnd(version, carrier)
    assert idle.rekey.receive(FIRST_EPOCH, EPOCH_EXHAUSTED, 1.0) == [RekeyExhausted()]
    assert idle.rekey.receive(FIRST_EPOCH, EPOCH_EXHAUSTED, 1.0) == []


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_client_without_epochs_ends_the_session_instead_of_moving_on(version: RekeyVersion) -> None:
    client, server = ClientEnd(version, last_epoch=Epoch(1)), ServerEnd(version)
    rekey_once(client, server, INIT_AT_S)

    client.receive(server.receive(client.tick(2 * INIT_AT_S)), 2 * INIT_AT_S)

    assert client.verdict == RekeyExhausted()
    assert client.crypto.send_epoch == 1


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_service_packet_that_is_no_ack_is_ignored_and_counted(version: RekeyVersion) -> None:
    client = awaiting_ack(version)
    nonsense = [
        b"",
        SERVICE_PREFIX,
        SERVICE_PREFIX + b"\x63",
        REFUSED_ACK[version][:-1],
        REFUSED_ACK[version] + b"\0",
        EPOCH_EXHAUSTED + b"\0",
        SERVICE_PREFIX + bytes([version.init_type]) + REFUSED_ACK[version][SERVICE_HEADER_BYTES:],
    ]

    for number, packet in enumerate(nonsense, start=1):
        assert client.rekey.receive(FIRST_EPOCH, packet, INIT_AT_S) == []
        assert client.rekey.ignored == number

    assert client.rekey.phase is ClientPhase.AWAITING_ACK


def test_an_event_without_a_transition_raises_and_names_phase_and_event() -> None:
    client = ClientEnd(V2)

    with pytest.raises(IllegalEventError, match="GRANTED cannot happen in phase IDLE"):
        client.rekey._advance(ClientEvent.GRANTED)

    assert client.rekey.phase is ClientPhase.IDLE
