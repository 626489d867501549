import json
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.service import (
    BODY_BYTES,
    EPOCH_EXHAUSTED,
    PING,
    PONG,
    MalformedServicePacketError,
    ServicePacketType,
    body_of_untrusted,
    loss_of_untrusted,
    loss_report,
    rekey_ack_v1,
    rekey_ack_v2,
    rekey_init_v1,
    rekey_init_v2,
    type_of_untrusted,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "service_packets.json"


class ParseCase(TypedDict):
    kind: str
    bytes: str
    note: str
    head_type: int | None
    march_type: int | None


class HeaderCase(TypedDict):
    kind: str
    bytes: str
    name: str
    type: int


def parse_cases() -> list[ParseCase]:
    cases: list[ParseCase] = json.loads(VECTORS.read_text())["cases"]
    found = [case for case in cases if case["kind"] == "parse"]
    assert found
    return found


def header_cases() -> list[HeaderCase]:
    cases: list[HeaderCase] = json.loads(VECTORS.read_text())["cases"]
    found = [case for case in cases if case["kind"] == "header"]
    assert found
    return found


WHOLE_PACKETS = {
    ServicePacketType.REKEY_INIT_V1: rekey_init_v1(bytes(range(32))),
    ServicePacketType.REKEY_ACK_V1: rekey_ack_v1(bytes(range(32))),
    ServicePacketType.PING: PING,
    ServicePacketType.PONG: PONG,
    ServicePacketType.EPOCH_EXHAUSTED: EPOCH_EXHAUSTED,
    ServicePacketType.REKEY_INIT_V2: rekey_init_v2(bytes(range(96))),
    ServicePacketType.REKEY_ACK_V2: rekey_ack_v2(bytes(range(48))),
    ServicePacketType.LOSS_REPORT: loss_report(0x00010203, 0x04050607),
}
EACH_PACKET = pytest.mark.parametrize("packet_type", WHOLE_PACKETS, ids=lambda each: each.name)


@pytest.mark.parametrize("case", parse_cases(), ids=lambda case: case["note"])
def test_recognition_follows_the_recorded_verdicts(case: ParseCase) -> None:
    assert type_of_untrusted(bytes.fromhex(case["bytes"])) == case["head_type"]


@pytest.mark.parametrize("case", header_cases(), ids=lambda case: case["name"])
def test_what_we_send_starts_with_the_recorded_header(case: HeaderCase) -> None:
    assert WHOLE_PACKETS[ServicePacketType(case["type"])].startswith(bytes.fromhex(case["bytes"]))


@pytest.mark.parametrize(
    ("packet_type", "size"), list(zip(WHOLE_PACKETS, [35, 35, 3, 3, 3, 99, 51, 11], strict=True))
)
def test_what_we_send_has_the_exact_length(packet_type: ServicePacketType, size: int) -> None:
    assert len(WHOLE_PACKETS[packet_type]) == size


@pytest.mark.parametrize("case", parse_cases(), ids=lambda case: case["note"])
def test_a_body_is_taken_exactly_from_what_march_would_recognise_too(case: ParseCase) -> None:
    packet = bytes.fromhex(case["bytes"])
    if case["march_type"] is not None:
        assert body_of_untrusted(packet, ServicePacketType(case["march_type"])) == packet[3:]
        return
    for expected in (ServicePacketType.REKEY_INIT_V1, ServicePacketType.PING):
        with pytest.raises(MalformedServicePacketError):
            body_of_untrusted(packet, expected)


@EACH_PACKET
def test_a_packet_gives_its_body_back(packet_type: ServicePacketType) -> None:
    packet = WHOLE_PACKETS[packet_type]

    assert type_of_untrusted(packet) is packet_type
    assert body_of_untrusted(packet, packet_type) == bytes(range(BODY_BYTES[packet_type]))


@EACH_PACKET
def test_every_other_length_and_type_is_malformed(packet_type: ServicePacketType) -> None:
    packet = WHOLE_PACKETS[packet_type]
    wrong = [packet[:size] for size in range(len(packet))]
    wrong += [packet + b"\0", b"\xff\x02" + packet[2:], b"\xfe" + packet[1:]]
    wrong += [other for other_type, other in WHOLE_PACKETS.items() if other_type != packet_type]

    for plaintext in wrong:
        with pytest.raises(MalformedServicePacketError) as refused:
            body_of_untrusted(plaintext, packet_type)
        assert refused.value.expected is packet_type
        assert refused.value.size == len(plaintext)


@pytest.mark.parametrize("build", [rekey_init_v1, rekey_ack_v1, rekey_init_v2, rekey_ack_v2])
def test_a_body_of_another_length_is_never_sent(build: Callable[[bytes], bytes]) -> None:
    for size in (0, 31, 33, 47, 49, 95, 97):
        with pytest.raises(ValueError, match="has a body of"):
            build(bytes(size))


def test_a_loss_report_says_what_was_received_and_what_is_missing() -> None:
    report = loss_report(1000, 7)

    assert report == b"\xff\x01\x80" + b"\x00\x00\x03\xe8" + b"\x00\x00\x00\x07"
    assert loss_of_untrusted(report) == (1000, 7)
    assert loss_of_untrusted(loss_report(2**40, 2**40)) == (2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize("plaintext", [PING, b"\xff\x01\x80", loss_report(1, 1) + b"\0", b""])
def test_what_is_no_loss_report_says_nothing(plaintext: bytes) -> None:
    with pytest.raises(MalformedServicePacketError):
        loss_of_untrusted(plaintext)


@given(st.binary(max_size=120))
def test_any_bytes_have_a_type_or_none(plaintext: bytes) -> None:
    found = type_of_untrusted(plaintext)

    assert (found is not None) == (len(plaintext) >= 3 and plaintext[:2] == b"\xff\x01")


@given(st.binary(max_size=120), st.sampled_from(list(BODY_BYTES)))
def test_any_bytes_after_the_prefix_are_a_whole_packet_or_malformed(
    rest: bytes, expected: ServicePacketType
) -> None:
    plaintext = b"\xff\x01" + rest
    whole = len(rest) == 1 + BODY_BYTES[expected] and rest[0] == expected

    if whole:
        assert body_of_untrusted(plaintext, expected) == rest[1:]
    else:
        with pytest.raises(MalformedServicePacketError):
            body_of_untrusted(plaintext, expected)
