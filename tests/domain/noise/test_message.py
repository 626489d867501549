from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.noise.cookie import COOKIE_REPLY_BYTES
from domain.noise.errors import HandshakeRejectedError, RejectionReason, UnexpectedCapabilityError
from domain.noise.ik import EMPTY_MESSAGE2_BYTES
from domain.noise.message import (
    LARGEST_MESSAGE_BYTES,
    MINIMUM_MESSAGE1_BYTES,
    Capability,
    Message1,
    accept_selection,
    encode_capabilities,
    parse_message1_untrusted,
    select_capabilities,
)
from tests import vectors
from tests.domain.noise import EVERY_CAPABILITY

REKEY_V2 = frozenset({Capability.REKEY_V2})


@pytest.mark.parametrize(
    "case", vectors.cases("noise_ik", "handshake"), ids=lambda case: vectors.text(case, "name")
)
def test_the_messages_of_the_go_program_come_apart_and_together_again(case: vectors.JsonObject) -> None:
    for attempt in vectors.children(case, "attempts"):
        wire = vectors.octets(attempt, "msg1_wire")
        message = parse_message1_untrusted(wire)
        assert message == Message1(
            noise=vectors.octets(attempt, "noise_msg1"),
            mac1=vectors.octets(attempt, "mac1"),
            mac2=vectors.octets(attempt, "mac2"),
        )
        assert message.ephemeral_public == vectors.octets(attempt, "client_ephemeral_public")
        assert message.encode() == wire


def test_the_length_gate_is_the_one_of_the_specification() -> None:
    assert MINIMUM_MESSAGE1_BYTES == 113
    smallest = parse_message1_untrusted(b"\x01" + bytes(112))
    assert len(smallest.noise) == 80


@given(st.binary(max_size=MINIMUM_MESSAGE1_BYTES - 1))
def test_whatever_is_shorter_is_too_short_whatever_its_version(message: bytes) -> None:
    with pytest.raises(HandshakeRejectedError) as caught:
        parse_message1_untrusted(message)
    assert caught.value.reason is RejectionReason.TOO_SHORT


@pytest.mark.parametrize("version", [0, *range(2, 256)])
def test_every_other_version_is_refused(version: int) -> None:
    with pytest.raises(HandshakeRejectedError) as caught:
        parse_message1_untrusted(bytes([version]) + bytes(129))
    assert caught.value.reason is RejectionReason.BAD_VERSION


@given(st.binary(min_size=MINIMUM_MESSAGE1_BYTES - 1, max_size=400))
def test_any_message_of_version_1_survives_the_round_trip(body: bytes) -> None:
    wire = b"\x01" + body
    assert parse_message1_untrusted(memoryview(bytearray(wire))).encode() == wire


def test_what_was_parsed_does_not_change_with_the_receive_buffer() -> None:
    buffer = bytearray(b"\x01" + bytes(129))
    message = parse_message1_untrusted(memoryview(buffer))
    buffer[:] = b"\xff" * len(buffer)
    assert message.encode() == b"\x01" + bytes(129)


def test_no_selection_makes_message_2_look_like_a_cookie_reply() -> None:
    subsets = chain.from_iterable(
        combinations(EVERY_CAPABILITY, size) for size in range(len(EVERY_CAPABILITY) + 1)
    )
    for subset in subsets:
        payload = encode_capabilities(frozenset(subset))
        assert len(payload) == len(subset)
        assert EMPTY_MESSAGE2_BYTES + len(payload) != COOKIE_REPLY_BYTES


def test_the_largest_message_names_every_capability_that_a_byte_can() -> None:
    message = Message1(noise=bytes(96 + 256), mac1=bytes(16), mac2=bytes(16))
    assert len(message.encode()) == LARGEST_MESSAGE_BYTES


def test_capabilities_are_written_in_ascending_order() -> None:
    assert encode_capabilities(EVERY_CAPABILITY) == b"\x01\x80"
    assert encode_capabilities(frozenset()) == b""


@pytest.mark.parametrize(
    ("payload", "selected"),
    [
        (b"", b""),
        (b"\x01", b"\x01"),
        (b"\x02\x01\x07", b"\x01"),
        (b"\x01\x01", b"\x01"),
        (b"\x00\x02\x09\xff", b""),
        (b"\x80\x01", b"\x01\x80"),
    ],
)
def test_a_server_selects_what_it_knows_and_was_advertised(payload: bytes, selected: bytes) -> None:
    assert encode_capabilities(select_capabilities(payload, EVERY_CAPABILITY)) == selected


def test_a_server_never_selects_what_it_was_told_not_to_support() -> None:
    assert select_capabilities(b"\x80\x01", REKEY_V2) == REKEY_V2


@given(st.binary(max_size=40))
def test_a_client_accepts_exactly_the_bytes_that_it_advertised(payload: bytes) -> None:
    if set(payload) <= {0x01}:
        assert accept_selection(payload, REKEY_V2) == set(payload)
    else:
        with pytest.raises(UnexpectedCapabilityError):
            accept_selection(payload, REKEY_V2)


def test_a_selection_may_repeat_itself() -> None:
    assert accept_selection(b"\x01\x01", EVERY_CAPABILITY) == REKEY_V2
