import json
import struct
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presentation.demo.errors import DemoError
from presentation.demo.watch import IPPROTO_TCP, IPPROTO_UDP, Sighting, classify, parse_sighting

PORT = 9090


def frame(*, ether_type: int = 0x0800, protocol: int = 17, source: int = 40_000, target: int = PORT) -> bytes:
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, protocol, 0, bytes(4), bytes(4))
    return bytes(12) + struct.pack("!H", ether_type) + ip + struct.pack("!HHHH", source, target, 8, 0)


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (frame(), "tunnel"),
        (frame(source=PORT, target=40_000), "tunnel"),
        (frame(target=53), "other"),
        (frame(protocol=1), "other"),
        (frame(ether_type=0x86DD), "other"),
        (frame(ether_type=0x0806), "arp"),
    ],
)
def test_frames_are_told_apart(seen: bytes, kind: str) -> None:
    assert classify(seen, IPPROTO_UDP, PORT) == kind


def test_a_tunnel_over_tcp_is_told_from_one_over_udp() -> None:
    assert classify(frame(protocol=6), IPPROTO_TCP, PORT) == "tunnel"
    assert classify(frame(), IPPROTO_TCP, PORT) == "other"


@given(st.binary(max_size=80), st.integers(0, 42))
def test_any_frame_is_of_some_kind(noise: bytes, cut: int) -> None:
    assert classify(noise, IPPROTO_UDP, PORT) in {"tunnel", "arp", "other"}
    assert classify(frame()[:cut] + noise, IPPROTO_UDP, PORT) in {"tunnel", "arp", "other"}


def test_the_pattern_is_found_in_a_frame_of_any_kind() -> None:
    sighting = Sighting()
    for seen in (frame() + b"..hello..", frame(protocol=1) + b"hello", frame()):
        sighting.add(seen, IPPROTO_UDP, PORT, b"hello")
    assert sighting == Sighting(tunnel=2, other=1, readable=2)


def test_a_sighting_survives_its_way_through_a_pipe() -> None:
    sighting = Sighting(tunnel=20, arp=2)
    assert parse_sighting(f"watching\n{json.dumps(asdict(sighting))}\n") == sighting


@pytest.mark.parametrize("output", ["", "watching\n", "[Errno 19] No such device\n", '{"tunnel": 1, "x": 2}'])
def test_output_without_a_sighting_is_an_error(output: str) -> None:
    with pytest.raises(DemoError, match="could not be watched"):
        parse_sighting(output)
