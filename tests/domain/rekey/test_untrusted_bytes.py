"""Whatever a peer sends, in whatever phase: nothing raises, and nonsense changes nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.noise.keys import EpochKeys
from domain.packets.service import BODY_BYTES, EPOCH_EXHAUSTED, SERVICE_PREFIX, ServicePacketType
from domain.rekey.client import ClientPhase
from domain.rekey.rules import REKEY_INTERVAL_S, Carrier, RekeyVersion
from domain.rekey.server import ServerPhase
from domain.session.identifiers import Epoch
from tests.domain.rekey.conversation import ClientEnd, ServerEnd, rekey_once

V1, V2 = RekeyVersion.V1, RekeyVersion.V2
INIT_AT_S = REKEY_INTERVAL_S


def client_in(phase: ClientPhase, version: RekeyVersion, carrier: Carrier) -> ClientEnd:
    client, server = ClientEnd(version, carrier), ServerEnd(version, carrier)
    rekey_once(client, server, INIT_AT_S)  # so that there is an epoch before the current one
    if phase is not ClientPhase.IDLE:
        init = client.tick(2 * INIT_AT_S)
        if phase is ClientPhase.CONFIRMING:
            client.receive(server.receive(init), 2 * INIT_AT_S)
        elif phase is ClientPhase.ENDED:
            client.rekey.receive(Epoch(1), EPOCH_EXHAUSTED, 2 * INIT_AT_S)
    assert client.rekey.phase is phase
    return client


def server_in(phase: ServerPhase, version: RekeyVersion) -> ServerEnd:
    carrier = Carrier.STREAM if phase is ServerPhase.RETIRING else Carrier.DATAGRAM
    client, server = ClientEnd(version, carrier), ServerEnd(version, carrier)
    rekey_once(client, server, INIT_AT_S)
    if phase is not ServerPhase.IDLE:
        server.receive(client.tick(2 * INIT_AT_S))
    assert server.rekey.phase is phase
    return server


def damaged(genuine: bytes, where: int, bit: int) -> bytes:
    position = where % len(genuine)
    return genuine[:position] + bytes([genuine[position] ^ (1 << bit)]) + genuine[position + 1 :]


any_epoch = st.integers(min_value=0, max_value=0xFFFF).map(Epoch) | st.integers(0, 3).map(Epoch)
of_right_length = st.sampled_from(sorted(BODY_BYTES)).flatmap(
    lambda kind: st.binary(min_size=BODY_BYTES[kind], max_size=BODY_BYTES[kind]).map(
        lambda body: SERVICE_PREFIX + bytes([kind]) + body
    )
)
with_the_prefix = st.binary(max_size=130).map(lambda rest: SERVICE_PREFIX + rest)
any_bytes = st.binary(max_size=130) | with_the_prefix | of_right_length


def is_meaningful(packet: bytes, version: RekeyVersion, kind: ServicePacketType) -> bool:
    """Of random bytes only a version 1 key can be genuine: all 32 bytes are a public key."""
    prefix = SERVICE_PREFIX + bytes([kind])
    return version is V1 and packet.startswith(prefix) and len(packet) == len(prefix) + BODY_BYTES[kind]


def client_state(client: ClientEnd) -> tuple[ClientPhase, Epoch, EpochKeys, float]:
    rekey = client.rekey
    return rekey.phase, rekey.send_epoch, rekey.current_keys, rekey.next_deadline()


def server_state(server: ServerEnd) -> tuple[ServerPhase, Epoch, EpochKeys]:
    return server.rekey.phase, server.rekey.send_epoch, server.rekey.current_keys


@settings(max_examples=300, deadline=None)
@given(
    phase=st.sampled_from(ClientPhase),
    version=st.sampled_from(RekeyVersion),
    carrier=st.sampled_from(Carrier),
    epoch=any_epoch,
    packet=any_bytes,
)
def test_no_bytes_disturb_a_client(
    phase: ClientPhase, version: RekeyVersion, carrier: Carrier, epoch: Epoch, packet: bytes
) -> None:
    client = client_in(phase, version, carrier)
    before = client_state(client)

    effects = client.rekey.receive(epoch, packet, 2 * INIT_AT_S)

    if packet != EPOCH_EXHAUSTED and not is_meaningful(packet, version, ServicePacketType.REKEY_ACK_V1):
        assert effects == []
        assert client_state(client) == before
        assert client.rekey.ignored + client.rekey.refused > 0


@settings(max_examples=300, deadline=None)
@given(
    phase=st.sampled_from(ServerPhase),
    version=st.sampled_from(RekeyVersion),
    epoch=any_epoch,
    packet=any_bytes,
)
def test_no_bytes_disturb_a_server(
    phase: ServerPhase, version: RekeyVersion, epoch: Epoch, packet: bytes
) -> None:
    server = server_in(phase, version)
    before = server_state(server)

    effects = server.rekey.receive(epoch, packet, server.entropy)

    if not is_meaningful(packet, version, ServicePacketType.REKEY_INIT_V1):
        assert effects == []
        assert server_state(server) == before
        assert server.rekey.ignored + server.rekey.refused > 0


@settings(max_examples=150, deadline=None)
@given(where=st.integers(min_value=0, max_value=200), bit=st.integers(min_value=0, max_value=7))
def test_a_damaged_exchange_of_version_2_yields_no_keys_and_the_genuine_one_still_does(
    where: int, bit: int
) -> None:
    client, server = ClientEnd(V2), ServerEnd(V2)
    client.tick(INIT_AT_S)
    _, init = client.service_sent[-1]

    assert server.rekey.receive(Epoch(0), damaged(init, where, bit), server.entropy) == []
    server.apply(server.rekey.receive(Epoch(0), init, server.entropy))
    _, ack = server.service_sent[-1]
    # X25519 does not read the top bit of a key, but the handshake hash does.
    assert client.rekey.receive(Epoch(0), damaged(ack, where, bit), INIT_AT_S) == []
    client.apply(client.rekey.receive(Epoch(0), ack, INIT_AT_S))
    client.receive(server.receive(client.take()), INIT_AT_S)

    assert client.rekey.current_keys == server.rekey.current_keys
    assert client.rekey.send_epoch == server.rekey.send_epoch == 1


@settings(max_examples=150, deadline=None)
@given(phase=st.sampled_from(ServerPhase), version=st.sampled_from(RekeyVersion), epoch=any_epoch)
def test_only_the_staged_epoch_moves_a_server_on(
    phase: ServerPhase, version: RekeyVersion, epoch: Epoch
) -> None:
    server = server_in(phase, version)
    before = server.rekey.send_epoch

    effects = server.rekey.observe(epoch)

    assert bool(effects) is (phase is ServerPhase.STAGED and epoch == before + 1)
    assert server.rekey.send_epoch == before + bool(effects)
