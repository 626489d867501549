import pytest

from domain.packets.service import EPOCH_EXHAUSTED, PING, SERVICE_PREFIX, rekey_init_v1, rekey_init_v2
from domain.rekey.effects import ActivateEpoch, InstallEpoch, RekeyExhausted, SendService
from domain.rekey.rules import REKEY_INTERVAL_S, Carrier, IllegalEventError, RekeyVersion
from domain.rekey.server import ServerEvent, ServerPhase
from domain.session.identifiers import FIRST_EPOCH, Epoch
from tests.domain.rekey.conversation import ClientEnd, ServerEnd, assert_agreed, rekey_once

V1, V2 = RekeyVersion.V1, RekeyVersion.V2
DATAGRAM, STREAM = Carrier.DATAGRAM, Carrier.STREAM
INIT_AT_S = REKEY_INTERVAL_S

LOW_ORDER_INIT = {V1: rekey_init_v1(bytes(32)), V2: rekey_init_v2(bytes(96))}


def an_init(version: RekeyVersion, number: int = 1) -> bytes:
    """The plaintext of the ``number``-th init that a client of epoch 0 could send."""
    client = ClientEnd(version)
    for _ in range(number - 1):
        client.entropy(32)
    client.tick(INIT_AT_S)
    return client.service_sent[0][1]


def phase_of(server: ServerEnd) -> ServerPhase:
    """A call, so that the type checker does not take the phase of one line for that of the next."""
    return server.rekey.phase


@pytest.mark.parametrize("version", RekeyVersion)
def test_over_datagrams_the_server_sends_in_the_old_epoch_until_the_client_is_seen_in_the_new(
    version: RekeyVersion,
) -> None:
    server = ServerEnd(version)

    effects = server.rekey.receive(FIRST_EPOCH, an_init(version), server.entropy)

    assert [type(effect) for effect in effects] == [InstallEpoch, SendService]
    assert phase_of(server) is ServerPhase.STAGED
    assert server.rekey.observe(FIRST_EPOCH) == []
    assert server.rekey.send_epoch == 0
    assert server.rekey.observe(Epoch(1)) == [ActivateEpoch(Epoch(1))]
    assert phase_of(server) is ServerPhase.IDLE
    assert server.rekey.observe(Epoch(1)) == []


@pytest.mark.parametrize("version", RekeyVersion)
def test_over_a_stream_the_server_activates_right_behind_the_ack(version: RekeyVersion) -> None:
    server = ServerEnd(version, STREAM)

    effects = server.rekey.receive(FIRST_EPOCH, an_init(version), server.entropy)

    assert [type(effect) for effect in effects] == [InstallEpoch, SendService, ActivateEpoch]
    assert phase_of(server) is ServerPhase.RETIRING
    assert server.rekey.observe(FIRST_EPOCH) == []
    assert phase_of(server) is ServerPhase.RETIRING
    assert server.rekey.observe(Epoch(1)) == []
    assert phase_of(server) is ServerPhase.IDLE


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_repeated_init_gets_the_same_ack_and_stages_nothing(version: RekeyVersion) -> None:
    server = ServerEnd(version)
    init = an_init(version)
    first = server.rekey.receive(FIRST_EPOCH, init, server.entropy)

    again = server.rekey.receive(FIRST_EPOCH, init, server.entropy)

    assert again == [effect for effect in first if isinstance(effect, SendService)]
    assert phase_of(server) is ServerPhase.STAGED


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_repeated_init_in_another_carrier_epoch_is_ignored(version: RekeyVersion) -> None:
    server = ServerEnd(version)
    init = an_init(version)
    server.rekey.receive(FIRST_EPOCH, init, server.entropy)

    assert server.rekey.receive(Epoch(1), init, server.entropy) == []

    assert server.rekey.ignored == 1


@pytest.mark.parametrize("version", RekeyVersion)
def test_an_init_that_its_own_exchange_has_overtaken_changes_nothing(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    rekey_once(client, server, INIT_AT_S)
    _, init = client.service_sent[0]

    for late_epoch in (FIRST_EPOCH, Epoch(1)):
        assert server.rekey.receive(late_epoch, init, server.entropy) == []
    rekey_once(client, server, 2 * INIT_AT_S)
    for late_epoch in (FIRST_EPOCH, Epoch(1)):
        assert server.rekey.receive(late_epoch, init, server.entropy) == []

    assert_agreed(client, server, epoch=2)


@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("version", RekeyVersion)
def test_another_init_is_ignored_while_an_exchange_is_open(version: RekeyVersion, carrier: Carrier) -> None:
    server = ServerEnd(version, carrier)
    server.rekey.receive(FIRST_EPOCH, an_init(version), server.entropy)
    keys = server.rekey.current_keys

    for carrier_epoch in (FIRST_EPOCH, Epoch(1)):
        assert server.rekey.receive(carrier_epoch, an_init(version, 2), server.entropy) == []

    assert server.rekey.ignored == 2
    assert server.rekey.current_keys == keys


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_new_init_counts_only_in_the_send_epoch(version: RekeyVersion) -> None:
    client, server = ClientEnd(version), ServerEnd(version)
    rekey_once(client, server, INIT_AT_S)
    client.tick(2 * INIT_AT_S)
    _, init = client.service_sent[-1]

    assert server.rekey.receive(FIRST_EPOCH, init, server.entropy) == []
    assert server.rekey.receive(Epoch(2), init, server.entropy) == []

    assert server.rekey.receive(Epoch(1), init, server.entropy) != []


@pytest.mark.parametrize(("agreed", "other"), [(V1, V2), (V2, V1)])
def test_an_init_of_the_other_version_is_ignored(agreed: RekeyVersion, other: RekeyVersion) -> None:
    server = ServerEnd(agreed)

    assert server.rekey.receive(FIRST_EPOCH, an_init(other), server.entropy) == []

    assert phase_of(server) is ServerPhase.IDLE
    assert server.rekey.ignored == 1


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_client_that_is_no_longer_admitted_gets_no_new_keys(version: RekeyVersion) -> None:
    server = ServerEnd(version)
    server.admitted = False

    assert server.rekey.receive(FIRST_EPOCH, an_init(version), server.entropy) == []
    assert server.rekey.refused == 1

    server.admitted = True
    assert server.rekey.receive(FIRST_EPOCH, an_init(version), server.entropy) != []


@pytest.mark.parametrize("version", RekeyVersion)
def test_an_init_that_yields_no_keys_leaves_the_server_ready_for_the_next(version: RekeyVersion) -> None:
    server = ServerEnd(version)

    assert server.rekey.receive(FIRST_EPOCH, LOW_ORDER_INIT[version], server.entropy) == []
    assert server.rekey.refused == 1

    assert server.rekey.receive(FIRST_EPOCH, an_init(version), server.entropy) != []


@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("version", RekeyVersion)
def test_past_the_last_epoch_every_init_is_answered_with_epoch_exhausted(
    version: RekeyVersion, carrier: Carrier
) -> None:
    client, server = ClientEnd(version, carrier), ServerEnd(version, carrier, last_epoch=Epoch(1))
    rekey_once(client, server, INIT_AT_S)
    client.tick(2 * INIT_AT_S)
    _, init = client.service_sent[-1]

    for _ in range(2):
        effects = server.rekey.receive(Epoch(1), init, server.entropy)
        assert effects == [SendService(EPOCH_EXHAUSTED), RekeyExhausted()]

    assert phase_of(server) is ServerPhase.IDLE
    assert server.rekey.send_epoch == 1


@pytest.mark.parametrize("version", RekeyVersion)
def test_a_service_packet_that_is_no_init_is_ignored_and_counted(version: RekeyVersion) -> None:
    server = ServerEnd(version)
    init = an_init(version)
    nonsense = [
        b"",
        SERVICE_PREFIX,
        SERVICE_PREFIX + b"\x63",
        init[:-1],
        init + b"\0",
        EPOCH_EXHAUSTED,
        PING,
    ]

    for number, packet in enumerate(nonsense, start=1):
        assert server.rekey.receive(FIRST_EPOCH, packet, server.entropy) == []
        assert server.rekey.ignored == number

    assert phase_of(server) is ServerPhase.IDLE


def test_no_secret_shows_in_the_representation_of_an_effect() -> None:
    server = ServerEnd(V2)

    effects = server.rekey.receive(FIRST_EPOCH, an_init(V2), server.entropy)

    keys = effects[0].keys if isinstance(effects[0], InstallEpoch) else server.rekey.current_keys
    assert keys != server.rekey.current_keys
    for effect in effects:
        assert repr(keys.client_to_server)[2:-1] not in repr(effect)
        assert repr(keys.server_to_client)[2:-1] not in repr(effect)


def test_an_event_without_a_transition_raises_and_names_phase_and_event() -> None:
    server = ServerEnd(V2)

    with pytest.raises(IllegalEventError, match="ACTIVATED cannot happen in phase IDLE"):
        server.rekey._advance(ServerEvent.ACTIVATED)

    assert phase_of(server) is ServerPhase.IDLE
