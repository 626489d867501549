"""Our machines against March's (specification 5.6), over datagrams and over a stream."""

import pytest

from domain.noise.keys import EpochKeys
from domain.rekey.client import ClientPhase, ClientRekey
from domain.rekey.effects import Effect, InstallEpoch, RekeyDiverged, SendService
from domain.rekey.rules import CONFIRM_WITHIN_S, REKEY_INTERVAL_S, Carrier, RekeyVersion
from domain.rekey.server import ServerPhase, ServerRekey
from domain.session.identifiers import FIRST_EPOCH, Epoch
from tests.adapters.entropy import SeededEntropy
from tests.domain.rekey.conversation import FIRST_KEYS, PRIMITIVES, ClientEnd, ServerEnd
from tests.domain.rekey.march import ABORT_AFTER_S, MarchClient, MarchServer

INIT_AT_S = REKEY_INTERVAL_S


def our_client(carrier: Carrier = Carrier.DATAGRAM) -> ClientRekey:
    return ClientEnd(RekeyVersion.V1, carrier).rekey


def our_server(carrier: Carrier = Carrier.DATAGRAM) -> ServerRekey:
    return ServerEnd(RekeyVersion.V1, carrier).rekey


def random_bytes(seed: int) -> bytes:
    return bytes([seed]) * 32


def init_of(client: ClientRekey, now_s: float, seed: int = 1) -> bytes:
    """The init that is due now."""
    (effect,) = client.handle_timer(now_s, lambda _size: random_bytes(seed))
    assert isinstance(effect, SendService)
    return effect.plaintext


def keys_in(effects: list[Effect]) -> list[EpochKeys]:
    return [effect.keys for effect in effects if isinstance(effect, InstallEpoch)]


def march_ack(server: MarchServer, init: bytes, now_s: float, seed: int = 2) -> bytes:
    ack = server.init(init, random_bytes(seed), now_s)
    assert ack is not None
    return ack


def test_our_client_rekeys_with_a_march_server() -> None:
    client, server = our_client(), MarchServer(PRIMITIVES, FIRST_KEYS)
    for epoch in range(1, 4):
        now_s = epoch * INIT_AT_S
        ack = march_ack(server, init_of(client, now_s, seed=epoch), now_s, seed=100 + epoch)
        client.receive(Epoch(epoch - 1), ack, now_s)
        server.seen(client.send_epoch)  # our ping
        client.observe(Epoch(server.send_epoch))  # its pong

        assert client.phase is ClientPhase.IDLE
        assert client.send_epoch == server.send_epoch == epoch
        assert client.current_keys == server.current_keys


def test_after_a_lost_ack_our_client_gets_the_second_one_of_a_march_server() -> None:
    client, server = our_client(), MarchServer(PRIMITIVES, FIRST_KEYS)
    march_ack(server, init_of(client, INIT_AT_S), INIT_AT_S)  # lost
    server.seen(FIRST_EPOCH)  # pings in the old epoch, until it forgets the staged one
    server.expire(INIT_AT_S + ABORT_AFTER_S)

    again_s = client.next_deadline()
    client.receive(FIRST_EPOCH, march_ack(server, init_of(client, again_s), again_s, seed=3), again_s)
    server.seen(client.send_epoch)

    assert client.current_keys == server.current_keys


def test_a_march_server_is_not_asked_again_while_its_ack_may_still_be_under_way() -> None:
    client, server = our_client(), MarchServer(PRIMITIVES, FIRST_KEYS)
    ack = march_ack(server, init_of(client, INIT_AT_S), INIT_AT_S)
    late_s = INIT_AT_S + ABORT_AFTER_S - 0.5

    # A second init would make it grant other keys under the number of those that this ack still promises.
    assert client.next_deadline() > INIT_AT_S + 10 * ABORT_AFTER_S
    client.receive(FIRST_EPOCH, ack, late_s)
    server.seen(client.send_epoch)
    server.expire(late_s + 0.1)

    assert client.current_keys == server.current_keys


def test_a_march_server_that_took_its_epoch_back_ends_our_session() -> None:
    client, server = our_client(), MarchServer(PRIMITIVES, FIRST_KEYS)
    ack = march_ack(server, init_of(client, INIT_AT_S), INIT_AT_S)
    client.receive(FIRST_EPOCH, ack, INIT_AT_S + 1)
    server.seen(FIRST_EPOCH)  # our pings are lost, an old datagram is late
    server.expire(INIT_AT_S + ABORT_AFTER_S)
    assert server.send_epoch == 0

    client.observe(FIRST_EPOCH)  # it goes on sending in the old epoch

    confirm_before_s = INIT_AT_S + 1 + CONFIRM_WITHIN_S
    assert client.handle_timer(confirm_before_s, lambda _size: random_bytes(1)) == [RekeyDiverged()]


def test_over_a_stream_a_march_server_gets_every_init_once() -> None:
    client, server = our_client(Carrier.STREAM), MarchServer(PRIMITIVES, FIRST_KEYS)
    init = init_of(client, INIT_AT_S)
    ack = march_ack(server, init, INIT_AT_S)
    server.seen(Epoch(1))  # over a stream it activates right behind the ack

    for intervals in range(2, 10):
        assert client.handle_timer(intervals * INIT_AT_S, lambda _size: random_bytes(9)) == []
    client.receive(FIRST_EPOCH, ack, 10 * INIT_AT_S)

    assert client.send_epoch == server.send_epoch == 1
    assert client.current_keys == server.current_keys


@pytest.mark.parametrize("carrier", Carrier)
def test_a_march_client_rekeys_with_our_server(carrier: Carrier) -> None:
    client, server = MarchClient(PRIMITIVES, FIRST_KEYS), our_server(carrier)
    entropy = SeededEntropy().random_bytes
    for epoch in range(1, 4):
        init = client.init(random_bytes(epoch))
        answer = server.receive(Epoch(client.send_epoch), init, entropy)
        (ack,) = [effect.plaintext for effect in answer if isinstance(effect, SendService)]
        assert client.ack(ack)
        server.observe(Epoch(client.send_epoch))

        assert server.phase is ServerPhase.IDLE
        assert server.send_epoch == client.send_epoch == epoch
        assert server.current_keys == client.current_keys


def test_a_march_client_that_repeats_its_init_gets_the_keys_it_was_granted_first() -> None:
    client, server = MarchClient(PRIMITIVES, FIRST_KEYS), our_server()
    init = client.init(random_bytes(1))
    first = server.receive(FIRST_EPOCH, init, lambda _size: random_bytes(2))  # its ack gets lost

    again = server.receive(FIRST_EPOCH, client.init(random_bytes(3)), lambda _size: random_bytes(4))

    assert keys_in(again) == []
    (ack,) = [effect.plaintext for effect in again if isinstance(effect, SendService)]
    assert client.ack(ack)
    assert keys_in(first) == [client.current_keys]
