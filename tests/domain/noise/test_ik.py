from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection  # type: ignore[import-untyped]  # ships no types

from domain.noise.errors import NoiseError
from domain.noise.ik import (
    EMPTY_MESSAGE1_BYTES,
    EMPTY_MESSAGE2_BYTES,
    InitiatorHandshake,
    ResponderHandshake,
)
from domain.noise.keys import KeyPair
from tests import vectors
from tests.domain.noise import (
    CLIENT,
    CLIENT_EPHEMERAL,
    LOW_ORDER_POINTS,
    PRIMITIVES,
    SERVER,
    SERVER_EPHEMERAL,
    run_of,
)

HANDSHAKES = vectors.cases("noise_ik", "handshake")


def initiator(payload: bytes = b"", prologue: bytes = b"") -> InitiatorHandshake:
    return InitiatorHandshake(
        PRIMITIVES, CLIENT, SERVER.public, CLIENT_EPHEMERAL, payload=payload, prologue=prologue
    )


def responder(prologue: bytes = b"") -> ResponderHandshake:
    return ResponderHandshake(PRIMITIVES, SERVER, prologue=prologue)


@pytest.mark.parametrize("case", HANDSHAKES, ids=lambda case: vectors.text(case, "name"))
def test_both_ends_write_the_bytes_of_the_go_program(case: vectors.JsonObject) -> None:
    server = KeyPair.from_private(PRIMITIVES, vectors.octets(case, "server_static_private"))
    client = KeyPair.from_private(PRIMITIVES, vectors.octets(case, "client_static_private"))
    assert server.public == vectors.octets(case, "server_static_public")
    assert client.public == vectors.octets(case, "client_static_public")
    prologue = vectors.octets(case, "prologue")
    attempts = [
        InitiatorHandshake(
            PRIMITIVES,
            client,
            server.public,
            vectors.octets(attempt, "client_ephemeral_private"),
            payload=vectors.octets(case, "msg1_payload"),
            prologue=prologue,
        )
        for attempt in vectors.children(case, "attempts")
    ]
    for ours, theirs in zip(attempts, vectors.children(case, "attempts"), strict=True):
        assert ours.message1 == vectors.octets(theirs, "noise_msg1")
        assert ours.ephemeral_public == vectors.octets(theirs, "client_ephemeral_public")

    ours = attempts[-1]
    initiation = ResponderHandshake(PRIMITIVES, server, prologue=prologue).read_message1(ours.message1)
    assert initiation.peer_public == client.public
    assert initiation.payload == vectors.octets(case, "msg1_payload")
    response = initiation.respond(
        vectors.octets(case, "server_ephemeral_private"), vectors.octets(case, "msg2_payload")
    )
    assert response.message2 == vectors.octets(case, "msg2_wire")

    result = ours.read_message2(response.message2)
    assert result.payload == vectors.octets(case, "msg2_payload")
    for end in (result, response.result):
        assert end.keys.client_to_server == vectors.octets(case, "c2s_key")
        assert end.keys.server_to_client == vectors.octets(case, "s2c_key")
        assert end.session_id == vectors.octets(case, "session_id")


def test_the_values_of_appendix_a_with_a_capability() -> None:
    ours = initiator(b"\x01")
    assert ours.message1.hex() == (
        "79a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a"
        "466958cf6d34ec30f4978a1bf8146e2a180befb1f49f384dc9d4089aee00775f"
        "4c268a19ca1ef24959f6748380dc4ca1ea11fc77006980d551f4fff7d387b19136"
    )
    response = responder().read_message1(ours.message1).respond(SERVER_EPHEMERAL, b"\x01")
    assert response.message2.hex() == (
        "675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52fc501506656d71e0e906f0b4456856ea45f"
    )
    keys = response.result.keys
    assert keys.client_to_server.hex() == "e20c76acc4af8819011bc1871ae98eaebb9a71106fa48c136336863a307bcc0c"
    assert keys.server_to_client.hex() == "da57a2f42f2857ebbb37618294f0aa0c909a85fc6cef447fd29c4b369d2bbdc4"
    assert response.result.session_id.hex() == (
        "cfc21ca9a46d18e99a511cca81b318712ac36f2402c8cafc0d529591c6673e0e"
    )


def test_the_values_of_appendix_a_without_payloads() -> None:
    ours = initiator()
    response = responder().read_message1(ours.message1).respond(SERVER_EPHEMERAL)
    assert len(ours.message1) == EMPTY_MESSAGE1_BYTES == 96
    assert len(response.message2) == EMPTY_MESSAGE2_BYTES == 48
    assert response.message2.hex() == (
        "675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52fb998a10c0166b6bf6aa228c160c11ee1"
    )
    assert response.result.session_id.hex() == (
        "6544b4ce0e8037cc8f88437c6435bb53ea6180788b4bfda24e5a04b2b5f6c3e5"
    )


def test_the_payload_changes_the_session_id_and_not_the_keys() -> None:
    with_payload = responder().read_message1(initiator(b"\x01").message1).respond(SERVER_EPHEMERAL)
    without = responder().read_message1(initiator().message1).respond(SERVER_EPHEMERAL)
    assert with_payload.result.keys == without.result.keys
    assert with_payload.result.session_id != without.result.session_id


def test_ends_with_different_prologues_do_not_meet() -> None:
    with pytest.raises(NoiseError):
        responder(b"one").read_message1(initiator(prologue=b"other").message1)


def test_a_prologue_changes_everything_that_is_derived() -> None:
    plain = responder().read_message1(initiator().message1).respond(SERVER_EPHEMERAL)
    bound = responder(b"p").read_message1(initiator(prologue=b"p").message1).respond(SERVER_EPHEMERAL)
    assert plain.result.session_id != bound.result.session_id
    assert plain.message2 != bound.message2


def test_a_responder_with_another_key_cannot_read_message_1() -> None:
    stranger = ResponderHandshake(PRIMITIVES, CLIENT)
    with pytest.raises(NoiseError):
        stranger.read_message1(initiator().message1)


def test_one_responder_serves_interleaved_initiators() -> None:
    server = responder()
    attempts = [
        InitiatorHandshake(PRIMITIVES, CLIENT, SERVER.public, run_of(first)) for first in (0x41, 0x42, 0x43)
    ]
    initiations = [server.read_message1(attempt.message1) for attempt in attempts]
    responses = [initiation.respond(SERVER_EPHEMERAL) for initiation in initiations]
    for attempt, response in reversed(list(zip(attempts, responses, strict=True))):
        assert attempt.read_message2(response.message2).session_id == response.result.session_id


def test_the_reply_to_another_attempt_is_refused() -> None:
    other = InitiatorHandshake(PRIMITIVES, CLIENT, SERVER.public, run_of(0x41))
    response = responder().read_message1(other.message1).respond(SERVER_EPHEMERAL)
    with pytest.raises(NoiseError):
        initiator().read_message2(response.message2)


def test_message_2_can_be_read_from_a_view_into_a_buffer() -> None:
    ours = initiator()
    response = responder().read_message1(memoryview(ours.message1)).respond(SERVER_EPHEMERAL)
    buffer = bytearray(response.message2)
    result = ours.read_message2(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert result.session_id == response.result.session_id


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_points_of_low_order_are_refused_wherever_a_peer_can_put_them(point: bytes) -> None:
    ours = initiator()
    with pytest.raises(NoiseError):
        responder().read_message1(point + ours.message1[32:])
    with pytest.raises(NoiseError):
        ours.read_message2(point + bytes(16))
    with pytest.raises(NoiseError):
        InitiatorHandshake(PRIMITIVES, CLIENT, point, CLIENT_EPHEMERAL)


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_a_static_key_of_low_order_is_refused(point: bytes) -> None:
    # Its owner can seal it, but nobody can agree on a secret with it.
    false = InitiatorHandshake(PRIMITIVES, KeyPair(CLIENT.private, point), SERVER.public, CLIENT_EPHEMERAL)
    with pytest.raises(NoiseError):
        responder().read_message1(false.message1)


def test_every_flipped_bit_of_message_1_is_refused() -> None:
    message = initiator(b"\x01").message1
    server = responder()
    for position in range(len(message)):
        with pytest.raises(NoiseError):
            server.read_message1(_flipped(message, position, 1))
    assert server.read_message1(message).payload == b"\x01"


def test_every_flipped_bit_of_message_2_is_refused_and_the_genuine_one_still_counts() -> None:
    ours = initiator()
    message = responder().read_message1(ours.message1).respond(SERVER_EPHEMERAL, b"\x01").message2
    for position in range(len(message)):
        with pytest.raises(NoiseError):
            ours.read_message2(_flipped(message, position, 1))
    assert ours.read_message2(message).payload == b"\x01"


def test_every_truncation_of_either_message_is_refused() -> None:
    ours = initiator(b"\x01")
    message2 = responder().read_message1(ours.message1).respond(SERVER_EPHEMERAL, b"\x01").message2
    for size in range(len(ours.message1)):
        with pytest.raises(NoiseError):
            responder().read_message1(ours.message1[:size])
    for size in range(len(message2)):
        with pytest.raises(NoiseError):
            ours.read_message2(message2[:size])


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_the_error_of_noise(garbage: bytes) -> None:
    with pytest.raises(NoiseError):
        responder().read_message1(garbage)
    with pytest.raises(NoiseError):
        initiator().read_message2(garbage)


def _flipped(message: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(message)
    changed[position] ^= bit
    return bytes(changed)


class _Oracle(Protocol):
    """What the tests need of ``noiseprotocol``, which carries no types."""

    def write_message(self, payload: bytes = b"") -> bytearray: ...

    def read_message(self, data: bytes) -> bytearray: ...

    def encrypt(self, data: bytes) -> bytes: ...

    def get_handshake_hash(self) -> bytes: ...


def _oracle(*, is_initiator: bool, prologue: bytes) -> _Oracle:
    connection = NoiseConnection.from_name(b"Noise_IK_25519_ChaChaPoly_SHA256")
    connection.set_prologue(prologue)
    if is_initiator:
        connection.set_as_initiator()
        connection.set_keypair_from_private_bytes(Keypair.STATIC, CLIENT.private)
        connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, SERVER.public)
    else:
        connection.set_as_responder()
        connection.set_keypair_from_private_bytes(Keypair.STATIC, SERVER.private)
    connection.start_handshake()
    oracle: _Oracle = connection
    return oracle


PAYLOADS = st.binary(max_size=40)


@settings(max_examples=30)
@given(PAYLOADS, PAYLOADS, st.binary(max_size=40))
def test_our_initiator_agrees_with_another_implementation(
    payload1: bytes, payload2: bytes, prologue: bytes
) -> None:
    oracle = _oracle(is_initiator=False, prologue=prologue)
    ours = initiator(payload1, prologue)
    assert oracle.read_message(ours.message1) == payload1
    result = ours.read_message2(bytes(oracle.write_message(payload2)))
    assert result.payload == payload2
    assert result.session_id == oracle.get_handshake_hash()
    sealed = PRIMITIVES.aead(result.keys.server_to_client).encrypt(bytes(12), b"text", b"")
    assert oracle.encrypt(b"text") == sealed


@settings(max_examples=30)
@given(PAYLOADS, PAYLOADS, st.binary(max_size=40))
def test_our_responder_agrees_with_another_implementation(
    payload1: bytes, payload2: bytes, prologue: bytes
) -> None:
    oracle = _oracle(is_initiator=True, prologue=prologue)
    initiation = responder(prologue).read_message1(bytes(oracle.write_message(payload1)))
    assert initiation.payload == payload1
    assert initiation.peer_public == CLIENT.public
    response = initiation.respond(SERVER_EPHEMERAL, payload2)
    assert oracle.read_message(response.message2) == payload2
    assert response.result.session_id == oracle.get_handshake_hash()
    sealed = PRIMITIVES.aead(response.result.keys.client_to_server).encrypt(bytes(12), b"text", b"")
    assert oracle.encrypt(b"text") == sealed


def test_no_secret_shows_in_a_repr() -> None:
    ours = initiator()
    response = responder().read_message1(ours.message1).respond(SERVER_EPHEMERAL)
    keys = response.result.keys
    shown = repr(response) + repr(ours)
    for secret in (CLIENT.private, SERVER_EPHEMERAL, keys.client_to_server, keys.server_to_client):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
