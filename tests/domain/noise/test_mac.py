import hashlib

import pytest

from domain.noise.errors import HandshakeRejectedError, MacMismatchError
from domain.noise.mac import (
    mac1_key,
    mac2_key,
    verify_mac1,
    verify_mac2,
    write_mac1,
    write_mac2,
)
from domain.noise.message import parse_message1_untrusted
from tests import vectors
from tests.domain.noise import CLIENT_EPHEMERAL, SERVER

VERSION = b"\x01"  # the vectors leave it out


def _accepts_mac1(case: vectors.JsonObject) -> bool:
    try:
        message = parse_message1_untrusted(VERSION + vectors.octets(case, "message_with_macs"))
        verify_mac1(mac1_key(vectors.octets(case, "server_static_public")), message.noise, message.mac1)
    except (HandshakeRejectedError, MacMismatchError):
        return False
    return True


def _accepts_mac2(case: vectors.JsonObject) -> bool:
    try:
        message = parse_message1_untrusted(VERSION + vectors.octets(case, "message_with_macs"))
        verify_mac2(mac2_key(vectors.octets(case, "cookie")), message.noise, message.mac1, message.mac2)
    except (HandshakeRejectedError, MacMismatchError):
        return False
    return True


@pytest.mark.parametrize("case", vectors.cases("cookie", "mac"))
def test_keys_and_tags_are_those_of_the_go_program(case: vectors.JsonObject) -> None:
    noise_message = vectors.octets(case, "noise_msg")
    key1 = mac1_key(vectors.octets(case, "server_static_public"))
    key2 = mac2_key(vectors.octets(case, "cookie"))
    assert key1 == vectors.octets(case, "mac1_key")
    assert key2 == vectors.octets(case, "mac2_key")
    tag1 = write_mac1(key1, noise_message)
    assert tag1 == vectors.octets(case, "mac1")
    assert write_mac2(key2, noise_message, tag1) == vectors.octets(case, "mac2")


@pytest.mark.parametrize(
    "case", vectors.cases("cookie", "mac_verify"), ids=lambda case: vectors.text(case, "note")
)
def test_messages_are_judged_as_the_go_program_judges_them(case: vectors.JsonObject) -> None:
    assert _accepts_mac1(case) is vectors.flag(case, "mac1_valid")
    assert _accepts_mac2(case) is vectors.flag(case, "mac2_valid")


def test_a_tag_is_native_blake2s_and_not_a_truncated_digest() -> None:
    key = mac1_key(SERVER.public)
    assert write_mac1(key, CLIENT_EPHEMERAL) != hashlib.blake2s(CLIENT_EPHEMERAL, key=key).digest()[:16]


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_tag_of_another_size_is_a_mismatch(size: int) -> None:
    key = mac1_key(SERVER.public)
    tag = (write_mac1(key, b"message") + b"\x00")[:size]
    with pytest.raises(MacMismatchError):
        verify_mac1(key, b"message", tag)
    with pytest.raises(MacMismatchError):
        verify_mac2(key, b"message", bytes(16), tag)
