import pytest

from domain.noise.keys import EpochKeys, KeyPair, Role, SessionId
from domain.packets.service import SERVICE_HEADER_BYTES
from domain.rekey.derivation import Grant, OfferV1, OfferV2, RekeyRefusedError, grant, v1_keys, v2_prologue
from domain.rekey.rules import RekeyVersion
from domain.session.datagram import DatagramSession
from domain.session.identifiers import Epoch
from tests.adapters.primitives import PlainPrimitives
from tests.domain.rekey.recorded import Case, Step, keys_of, label_of, select

PRIMITIVES = PlainPrimitives()
KEYS = EpochKeys(bytes([1]) * 32, bytes([2]) * 32)
CLIENT = KeyPair.from_private(PRIMITIVES, bytes(range(0x20, 0x40)))
SERVER = KeyPair.from_private(PRIMITIVES, bytes(range(0x20)))
CLIENT_EPHEMERAL = bytes(range(0x80, 0xA0))
SERVER_EPHEMERAL = bytes(range(0xA0, 0xC0))

# A chain recorded from March shows the same packets and keys as one from August.
CHAINS = select("chain", "head") + select("chain", "march")


def offer(version: RekeyVersion, current: EpochKeys, static: KeyPair = CLIENT) -> OfferV1 | OfferV2:
    if version is RekeyVersion.V1:
        return OfferV1(PRIMITIVES, current, CLIENT_EPHEMERAL)
    return OfferV2(PRIMITIVES, current, static, SERVER.public, CLIENT_EPHEMERAL)


def answer(version: RekeyVersion, made: OfferV1 | OfferV2) -> Grant:
    return grant(
        PRIMITIVES,
        KEYS,
        made.init[SERVICE_HEADER_BYTES:],
        lambda _size: SERVER_EPHEMERAL,
        version=version,
        static=SERVER,
        client_public=CLIENT.public,
    )


@pytest.mark.parametrize("case", select("derive", None), ids=label_of)
def test_the_keys_of_version_1_are_those_of_the_go_program(case: Case) -> None:
    current = keys_of(case["old_c2s_key"], case["old_s2c_key"])

    derived = v1_keys(PRIMITIVES, current, bytes.fromhex(case["private"]), bytes.fromhex(case["peer_public"]))

    assert derived == keys_of(case["new_c2s_key"], case["new_s2c_key"])


def _statics(case: Case) -> tuple[KeyPair, KeyPair]:
    handshake = case.get("handshake")
    if handshake is None:  # version 1 has no use for them
        return CLIENT, SERVER
    return (
        KeyPair.from_private(PRIMITIVES, bytes.fromhex(handshake["client_static_private"])),
        KeyPair.from_private(PRIMITIVES, bytes.fromhex(handshake["server_static_private"])),
    )


def _rekey_as_recorded(case: Case, step: Step) -> EpochKeys:
    """Both halves of a recorded exchange; every packet must be the recorded one."""
    client, server = _statics(case)
    current = keys_of(step["old_c2s_key"], step["old_s2c_key"])
    client_ephemeral = bytes.fromhex(step["client_ephemeral_private"])
    made: OfferV1 | OfferV2
    if case["version"] == 1:
        version = RekeyVersion.V1
        made = OfferV1(PRIMITIVES, current, client_ephemeral)
    else:
        version = RekeyVersion.V2
        assert v2_prologue(current) == bytes.fromhex(step["prologue"])
        made = OfferV2(PRIMITIVES, current, client, server.public, client_ephemeral)
    assert made.init == bytes.fromhex(step["init_packet"])
    granted = grant(
        PRIMITIVES,
        current,
        made.init[SERVICE_HEADER_BYTES:],
        lambda _size: bytes.fromhex(step["server_ephemeral_private"]),
        version=version,
        static=server,
        client_public=client.public,
    )
    assert granted.ack == bytes.fromhex(step["ack_packet"])
    assert made.keys_from(granted.ack[SERVICE_HEADER_BYTES:]) == granted.keys
    return granted.keys


@pytest.mark.parametrize("case", CHAINS, ids=label_of)
def test_a_chain_of_rekeys_has_the_packets_and_keys_of_the_go_program(case: Case) -> None:
    assert case["steps"]
    for step in case["steps"]:
        assert _rekey_as_recorded(case, step) == keys_of(step["new_c2s_key"], step["new_s2c_key"])


@pytest.mark.parametrize("case", [case for case in CHAINS if case["transport"] == "udp"], ids=label_of)
def test_a_chain_of_rekeys_has_the_datagrams_of_the_go_program(case: Case) -> None:
    session_id = SessionId(bytes.fromhex(case["session_id"]))
    first_keys = keys_of(case["c2s_key"], case["s2c_key"])
    client = DatagramSession(PRIMITIVES, Role.CLIENT, session_id, first_keys)
    server = DatagramSession(PRIMITIVES, Role.SERVER, session_id, first_keys)
    for step in case["steps"]:
        keys = _rekey_as_recorded(case, step)
        epoch = Epoch(step["new_epoch"])
        for sender, packet, wire in (
            (client, step["init_packet"], step["init_wire"]),
            (server, step["ack_packet"], step["ack_wire"]),
        ):
            assert sender.seal([bytes.fromhex(packet)]) == [bytes.fromhex(wire)]
        for sender, payload, wire in (
            (client, step["first_client_payload"], step["first_client_wire"]),
            (server, step["first_server_payload"], step["first_server_wire"]),
        ):
            sender.install(epoch, keys)
            sender.activate(epoch)
            assert sender.seal([bytes.fromhex(payload)]) == [bytes.fromhex(wire)]


def test_the_next_keys_of_version_1_depend_on_the_current_ones() -> None:
    public = PRIMITIVES.public_key(SERVER_EPHEMERAL)
    other = EpochKeys(KEYS.client_to_server, bytes([3]) * 32)

    derived = v1_keys(PRIMITIVES, KEYS, CLIENT_EPHEMERAL, public)
    derived_from_other = v1_keys(PRIMITIVES, other, CLIENT_EPHEMERAL, public)

    assert derived.client_to_server == derived_from_other.client_to_server
    assert derived.server_to_client != derived_from_other.server_to_client


def test_an_init_of_version_2_opens_only_where_the_current_keys_are_the_same() -> None:
    other = EpochKeys(KEYS.client_to_server, bytes([3]) * 32)

    with pytest.raises(RekeyRefusedError, match="does not open"):
        answer(RekeyVersion.V2, offer(RekeyVersion.V2, other))


def test_an_init_of_version_2_from_another_client_is_refused() -> None:
    stranger = KeyPair.from_private(PRIMITIVES, bytes([7]) * 32)

    with pytest.raises(RekeyRefusedError, match="another client"):
        answer(RekeyVersion.V2, offer(RekeyVersion.V2, KEYS, static=stranger))


@pytest.mark.parametrize("version", RekeyVersion)
def test_an_offer_survives_an_ack_that_is_refused(version: RekeyVersion) -> None:
    made = offer(version, KEYS)
    granted = answer(version, made)
    body = granted.ack[SERVICE_HEADER_BYTES:]

    with pytest.raises(RekeyRefusedError):
        made.keys_from(bytes(len(body)))

    assert made.keys_from(body) == granted.keys


@pytest.mark.parametrize("version", RekeyVersion)
def test_no_secret_shows_in_a_representation(version: RekeyVersion) -> None:
    made = offer(version, KEYS)
    granted = answer(version, made)

    for shown in (repr(made), repr(granted)):
        for secret in (
            CLIENT_EPHEMERAL,
            SERVER_EPHEMERAL,
            granted.keys.client_to_server,
            KEYS.client_to_server,
        ):
            assert repr(secret)[2:-1] not in shown
            assert secret.hex() not in shown
