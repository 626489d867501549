"""The PROXY header: both versions, none at all, and what is not one although it begins like one."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addressing.endpoint import Endpoint
from infrastructure.network.stream.codec import StreamRefusedError
from infrastructure.network.stream.proxy_header import ProxyHeader

PROXY = Endpoint("192.0.2.10", 40_000)
CLIENT = Endpoint("203.0.113.7", 5555)
CLIENT6 = Endpoint("2001:db8::7", 5555)
PAYLOAD = b"\x00\x15" + bytes(21)

MARK = b"\r\n\r\n\x00\r\nQUIT\n"
IPV4 = socket.inet_aton(CLIENT.host) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 5555, 443)
IPV6 = (
    socket.inet_pton(socket.AF_INET6, CLIENT6.host)
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 5555, 443)
)


def version2(family: int, addresses: bytes, *, version: int = 2, command: int = 1) -> bytes:
    return MARK + struct.pack("!BBH", version << 4 | command, family, len(addresses)) + addresses


HEADERS = {
    "1, IPv4": (b"PROXY TCP4 203.0.113.7 192.0.2.1 5555 443\r\n", CLIENT),
    "1, IPv6": (b"PROXY TCP6 2001:DB8::7 2001:db8::1 5555 443\r\n", CLIENT6),
    "1, IPv4 in IPv6": (b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 5555 443\r\n", CLIENT),
    "1, port 0": (b"PROXY TCP4 203.0.113.7 192.0.2.1 0 443\r\n", Endpoint(CLIENT.host, PROXY.port)),
    "1, unknown": (b"PROXY UNKNOWN\r\n", PROXY),
    "1, unknown with more": (b"PROXY UNKNOWN ffff:f...f:ffff what ever\r\n", PROXY),
    "1, the longest": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", PROXY),
    "2, IPv4": (version2(0x11, IPV4), CLIENT),
    "2, IPv6": (version2(0x21, IPV6), CLIENT6),
    "2, IPv4 with extensions": (version2(0x11, IPV4 + b"\x04\x00\x02ab"), CLIENT),
    "2, port 0": (version2(0x11, IPV4[:8] + bytes(4)), Endpoint(CLIENT.host, PROXY.port)),
    "2, the proxy itself": (version2(0, b"", command=0), PROXY),
    "2, the proxy itself, from an address": (version2(0x11, IPV4, command=0), PROXY),
    "2, unspecified": (version2(0, b"anything"), PROXY),
    "2, a Unix socket": (version2(0x31, bytes(216)), PROXY),
    "2, datagrams": (version2(0x12, IPV4), PROXY),
    "2, the longest": (version2(0x31, bytes(216 + 512)), PROXY),
    "none": (b"", PROXY),
}


def take(layer: ProxyHeader, stream: bytes, chunk_bytes: int) -> bytes:
    """What the layer passes on of ``stream``."""
    return b"".join(
        bytes(piece)
        for start in range(0, len(stream), chunk_bytes)
        for piece in layer.receive(stream[start : start + chunk_bytes])
    )


def started() -> ProxyHeader:
    layer = ProxyHeader()
    layer.start()
    assert layer.take_output() == b""
    assert layer.client_endpoint(PROXY) == PROXY
    return layer


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("chunk_bytes", [1, 5, 10_000])
def test_a_header_is_taken_off_and_the_rest_passes(name: str, chunk_bytes: int) -> None:
    header, client = HEADERS[name]
    layer = started()
    assert take(layer, header + PAYLOAD, chunk_bytes) == PAYLOAD
    assert layer.is_open
    assert layer.client_endpoint(PROXY) == client


@pytest.mark.parametrize("name", [name for name in HEADERS if name != "none"])
def test_every_truncation_of_a_header_waits_for_the_rest(name: str) -> None:
    header, client = HEADERS[name]
    for length in range(len(header)):
        layer = started()
        assert layer.receive(memoryview(header)[:length]) == ()
        with pytest.raises(RuntimeError):
            layer.send(b"early")
        assert layer.receive(header[length:]) == ()
        assert layer.is_open
        assert layer.client_endpoint(PROXY) == client


@pytest.mark.parametrize(
    "beginning",
    [
        b"\x00\x82",
        b"\x05\xee",
        b"\x16\x03\x01",
        b"GET /ws",
        b"POST /",
        b"PUT /",
        b"PROPFIND /",
        b"P\r\n",
        b"\r\n\r\nx",
    ],
    ids=repr,
)
def test_what_begins_differently_passes_whole(beginning: bytes) -> None:
    for size in range(1, len(beginning) + 1):
        layer = started()
        pieces = [*layer.receive(beginning[:size]), *layer.receive(beginning[size:]), *layer.receive(PAYLOAD)]
        assert b"".join(bytes(piece) for piece in pieces) == beginning + PAYLOAD
        assert layer.client_endpoint(PROXY) == PROXY


def test_after_the_beginning_nothing_is_copied_and_nothing_looked_at() -> None:
    layer = started()
    layer.receive(HEADERS["1, IPv4"][0])
    received = memoryview(HEADERS["2, IPv6"][0])
    (piece,) = layer.receive(received)
    assert piece is received
    assert layer.client_endpoint(PROXY) == CLIENT


MALFORMED = {
    "1, too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "1, without an end": b"PROXY TCP4 " + b"1" * 96,
    "1, another protocol": b"PROXY UDP4 203.0.113.7 192.0.2.1 5555 443\r\n",
    "1, nothing": b"PROXY \r\n",
    "1, too few fields": b"PROXY TCP4 203.0.113.7 192.0.2.1 5555\r\n",
    "1, too many fields": b"PROXY TCP4 203.0.113.7 192.0.2.1 5555 443 1\r\n",
    "1, two spaces": b"PROXY TCP4  203.0.113.7 192.0.2.1 5555 443\r\n",
    "1, IPv6 as IPv4": b"PROXY TCP4 2001:db8::7 192.0.2.1 5555 443\r\n",
    "1, IPv4 as IPv6": b"PROXY TCP6 203.0.113.7 2001:db8::1 5555 443\r\n",
    "1, a zone": b"PROXY TCP6 fe80::1%eth0 2001:db8::1 5555 443\r\n",
    "1, a bad destination": b"PROXY TCP4 203.0.113.7 nowhere 5555 443\r\n",
    "1, no ASCII": b"PROXY TCP4 \xff\xfe 192.0.2.1 5555 443\r\n",
    "1, a port too large": b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n",
    "1, a negative port": b"PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n",
    "1, an underlined port": b"PROXY TCP4 203.0.113.7 192.0.2.1 5_5 443\r\n",
    "1, a long port": b"PROXY TCP4 203.0.113.7 192.0.2.1 000443 443\r\n",
    "1, no port": b"PROXY TCP4 203.0.113.7 192.0.2.1  443\r\n",
    "2, another version": version2(0x11, IPV4, version=3),
    "2, another command": version2(0x11, IPV4, command=2),
    "2, too short for IPv4": version2(0x11, IPV4[:-1]),
    "2, too short for IPv6": version2(0x21, IPV6[:-1]),
    "2, too long": version2(0x11, IPV4 + bytes(717)),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("chunk_bytes", [1, 10_000])
def test_a_malformed_header_is_refused(name: str, chunk_bytes: int) -> None:
    header, layer = MALFORMED[name], started()
    with pytest.raises(StreamRefusedError, match=r"^the PROXY header "):
        take(layer, header, chunk_bytes)
    assert layer.client_endpoint(PROXY) == PROXY
    assert layer.take_output() == b""


@given(
    noise=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=900).map(lambda tail: MARK + b"\x21" + tail),
        st.binary(max_size=200).map(lambda tail: b"PROXY TCP4 " + tail),
    )
)
def test_noise_passes_or_is_refused_and_is_never_kept_without_bound(noise: bytes) -> None:
    layer = started()
    passed = b""
    try:
        for index in range(len(noise)):
            passed += take(layer, noise[index : index + 1], 1)
            assert len(layer._header) <= 16 + 216 + 512
    except StreamRefusedError:
        assert not passed
    assert noise.endswith(passed)


def test_payload_passes_down_untouched_once_the_beginning_is_known() -> None:
    layer = started()
    with pytest.raises(RuntimeError):
        layer.send(b"early")
    layer.receive(PAYLOAD)
    layer.send(memoryview(b"one"))
    layer.send(b"two")
    assert layer.take_output() == b"onetwo"
    layer.close()
    assert layer.take_output() == b""
