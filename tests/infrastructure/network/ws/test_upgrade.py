"""The opening handshake: what a request and an answer must look like, and what is said to others."""

from base64 import b64decode
from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addressing.endpoint import Endpoint
from infrastructure.network.stream.codec import StreamEndedError, StreamRefusedError
from infrastructure.network.ws.codec import WebSocketClientCodec, WebSocketServerCodec
from infrastructure.network.ws.upgrade import LARGEST_HEAD_BYTES
from tests import vectors
from tests.infrastructure.network.ws.ends import (
    ANSWER,
    PROBES,
    REQUEST,
    SESSIONS,
    calling_client,
    cut,
    open_server,
    received,
)
from tests.infrastructure.network.ws.wire import BINARY, frame, from_client

REQUESTS = [case for case in PROBES if "request" in case]
PROXY = Endpoint("192.0.2.10", 40_000)


class Answer:
    """What a server said before it hung up, or opened."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        line, _, fields = head.partition(b"\r\n")
        self.status = int(line.split(b" ")[1])
        self.headers = BytesParser().parsebytes(fields)

    def options(self, name: str) -> set[str]:
        """The elements of a header that is a list."""
        return {option.strip().lower() for option in str(self.headers.get(name, "")).split(",")} - {""}


def answer_to(request: bytes) -> Answer:
    """What a server says to a request."""
    server = WebSocketServerCodec(trusted=False)
    server.start()
    refused = False
    try:
        assert server.receive(request) == ()
    except StreamRefusedError:
        refused = True
    answer = Answer(server.take_output())
    assert refused == (answer.status != 101)
    assert server.is_open != refused
    if refused:
        assert "close" in answer.options("Connection")
        assert len(answer.body) == int(str(answer.headers["Content-Length"]))
    return answer


def asking(*, line: bytes = b"GET /ws HTTP/1.1", without: bytes = b"", plus: bytes = b"") -> bytes:
    """REQUEST with another first line, without a header, or with more of them."""
    fields = [
        each for each in REQUEST.split(b"\r\n")[1:-2] if not without or not each.startswith(without + b":")
    ]
    return b"\r\n".join([line, *fields, *([plus] if plus else []), b"", b""])


# -- a server


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: vectors.text(case, "name"))
def test_a_request_gets_the_status_that_the_go_server_gave(case: vectors.JsonObject) -> None:
    request = vectors.text(case, "request").encode()
    recorded = Answer(
        f"{vectors.text(case, 'result')}\r\n{header_lines(case, 'response_headers')}\r\n".encode()
    )
    answer = answer_to(request)
    assert answer.status == recorded.status
    assert recorded.options("Connection") <= answer.options("Connection")
    for name in ("Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Accept"):
        assert answer.headers.get(name) == recorded.headers.get(name)
    for name in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Server"):
        assert name not in answer.headers


@pytest.mark.parametrize("case", SESSIONS, ids=lambda case: vectors.text(case, "name"))
def test_a_go_client_is_granted_with_the_headers_that_a_go_server_gave(case: vectors.JsonObject) -> None:
    head = vectors.octets(case, "client_stream").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    answer = answer_to(head)
    recorded = Answer(f"HTTP/1.1 101 x\r\n{header_lines(case, 'response_headers')}\r\n".encode())
    assert answer.status == 101
    assert {name.lower() for name in answer.headers} == {name.lower() for name in recorded.headers}
    assert answer.headers["Sec-WebSocket-Accept"] == recorded.headers["Sec-WebSocket-Accept"]


def header_lines(case: vectors.JsonObject, key: str) -> str:
    """The recorded headers as text."""
    headers = case[key]
    assert isinstance(headers, list)
    return "".join(f"{pair[0]}: {pair[1]}\r\n" for pair in headers if isinstance(pair, list))


REFUSALS = {
    "another method": (asking(line=b"POST /ws HTTP/1.1"), 405),
    "another method, with a body": (
        asking(line=b"PUT /ws HTTP/1.1", plus=b"Content-Length: 3") + b"abc",
        405,
    ),
    "another path": (asking(line=b"GET /wss HTTP/1.1"), 404),
    "another path by another method": (asking(line=b"POST / HTTP/1.1"), 404),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404),
    "a body": (asking(plus=b"Content-Length: 3") + b"abc", 400),
    "a body in chunks": (asking(plus=b"Transfer-Encoding: chunked"), 400),
    "HTTP/1.0": (asking(line=b"GET /ws HTTP/1.0"), 505),
    "HTTP of the future": (asking(line=b"GET /ws HTTP/9.9"), 400),
    "two words": (asking(line=b"GET /ws"), 400),
    "four words": (asking(line=b"GET /ws HTTP/1.1 x"), 400),
    "a header without a colon": (asking(plus=b"nonsense"), 400),
    "a header with a control character": (asking(plus=b"X: \x1b"), 400),
    "no Host": (asking(without=b"Host"), 400),
    "two Hosts": (asking(plus=b"Host: vpn.example.org"), 400),
    "no Upgrade": (asking(without=b"Upgrade"), 426),
    "another Upgrade": (asking(without=b"Upgrade", plus=b"Upgrade: h2c"), 426),
    "no Connection": (asking(without=b"Connection"), 426),
    "no key": (asking(without=b"Sec-WebSocket-Key"), 400),
    "two keys": (asking(plus=b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="), 400),
    "a key that is not base64": (asking(without=b"Sec-WebSocket-Key", plus=b"Sec-WebSocket-Key: \xff"), 400),
    "no version": (asking(without=b"Sec-WebSocket-Version"), 400),
    "two versions": (asking(plus=b"Sec-WebSocket-Version: 14"), 400),
    "an Origin elsewhere": (asking(plus=b"Origin: https://example.net"), 403),
    "an Origin on another port": (asking(plus=b"Origin: https://vpn.example.org:444"), 403),
    "an Origin that hides itself": (asking(plus=b"Origin: null"), 403),
    "an Origin that is no URL": (asking(plus=b"Origin: http://[vpn.example.org"), 403),
    "two Origins": (asking(plus=b"Origin: http://vpn.example.org\r\nOrigin: http://example.net"), 400),
    "too many headers": (asking(plus=b"\r\n".join([b"X: y"] * 130)), 431),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_wrong_request_is_refused(name: str) -> None:
    request, status = REFUSALS[name]
    assert answer_to(request).status == status


def test_refusals_tell_what_the_protocol_wants_told() -> None:
    assert answer_to(REFUSALS["another method"][0]).headers["Allow"] == "GET"
    assert answer_to(REFUSALS["no version"][0]).headers["Sec-WebSocket-Version"] == "13"
    upgrade = answer_to(REFUSALS["no Upgrade"][0])
    assert upgrade.headers["Upgrade"] == "websocket"
    assert upgrade.options("Connection") == {"upgrade", "close"}


def test_a_stranger_does_not_learn_the_path() -> None:
    assert b"/ws" not in answer_to(REFUSALS["another path"][0]).body


@pytest.mark.parametrize("plus", [b"Origin: HTTPS://VPN.example.org", b"Origin:", b""], ids=repr)
def test_an_origin_of_the_same_host_or_none_is_accepted(plus: bytes) -> None:
    assert answer_to(asking(plus=plus)).status == 101


@pytest.mark.parametrize("target", [b"/ws?", b"/ws?token=1&x=/"], ids=repr)
def test_a_query_is_not_looked_at(target: bytes) -> None:
    assert answer_to(asking(line=b"GET " + target + b" HTTP/1.1")).status == 101


def test_a_head_of_the_largest_size_is_read_and_a_longer_one_refused() -> None:
    filler = LARGEST_HEAD_BYTES - len(asking(plus=b"X: "))
    assert answer_to(asking(plus=b"X: " + b"y" * filler)).status == 101
    assert answer_to(asking(plus=b"X: " + b"y" * (filler + 1))).status == 431


def test_a_head_without_an_end_is_refused_as_soon_as_it_is_too_long() -> None:
    server = WebSocketServerCodec(trusted=False)
    assert server.receive(b"GET /ws HTTP/1.1\r\nX: " + b"y" * (LARGEST_HEAD_BYTES - 21)) == ()
    with pytest.raises(StreamRefusedError, match="longer than 8192 bytes"):
        server.receive(b"y")
    assert Answer(server.take_output()).status == 431


def test_a_tls_greeting_to_a_server_without_tls_is_told_at_once() -> None:
    server = WebSocketServerCodec(trusted=False)
    with pytest.raises(StreamRefusedError, match="TLS"):
        server.receive(b"\x16\x03\x01")
    assert Answer(server.take_output()).status == 400
    server.close()
    assert server.take_output() == b""


def test_a_request_may_come_byte_by_byte_and_frames_right_behind_it() -> None:
    server = WebSocketServerCodec(trusted=False)
    server.start()
    assert server.receive(b"") == ()
    assert received(server, cut(REQUEST[:-1], 1)) == b""
    assert not server.is_open
    assert server.take_output() == b""
    with pytest.raises(RuntimeError):
        server.send(b"early")
    assert server.receive(REQUEST[-1:] + from_client(BINARY, b"first")) == [b"first"]
    assert Answer(server.take_output()).status == 101


def test_a_reason_quotes_little_of_the_request_and_no_control_characters() -> None:
    server = WebSocketServerCodec(trusted=False)
    with pytest.raises(StreamRefusedError) as caught:
        server.receive(asking(without=b"Upgrade", plus=b"Upgrade: \x9b2J" + b"x" * 5000))
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 300


# -- where the client is

FORWARDED = {
    "one address": (b"X-Forwarded-For: 203.0.113.7", "203.0.113.7"),
    "an IPv6 address": (b"x-forwarded-for: 2001:DB8::7", "2001:db8::7"),
    "a mapped address": (b"X-Forwarded-For: ::ffff:203.0.113.7", "203.0.113.7"),
    "the nearest proxy's word": (b"X-Forwarded-For: 198.51.100.1, 203.0.113.7", "203.0.113.7"),
    "the last of two headers": (
        b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For:203.0.113.7 ",
        "203.0.113.7",
    ),
    "no address at the end": (b"X-Forwarded-For: 203.0.113.7, unknown", PROXY.host),
    "an empty end": (b"X-Forwarded-For: 203.0.113.7,", PROXY.host),
    "an address with a zone": (b"X-Forwarded-For: fe80::1%eth0", PROXY.host),
    "no header": (b"", PROXY.host),
}


@pytest.mark.parametrize("name", FORWARDED)
def test_a_trusted_proxy_is_believed_where_the_client_is(name: str) -> None:
    header, host = FORWARDED[name]
    server = WebSocketServerCodec(trusted=True)
    assert server.client_endpoint(PROXY) == PROXY
    server.receive(asking(plus=header))
    assert server.client_endpoint(PROXY) == Endpoint(host, PROXY.port)


def test_a_stranger_is_not_believed_where_the_client_is() -> None:
    server = WebSocketServerCodec(trusted=False)
    server.receive(asking(plus=b"X-Forwarded-For: 203.0.113.7"))
    assert server.is_open
    assert server.client_endpoint(PROXY) == PROXY


# -- a client


@pytest.mark.parametrize("case", SESSIONS, ids=lambda case: vectors.text(case, "name"))
def test_the_request_is_that_of_a_go_client_byte_for_byte(case: vectors.JsonObject) -> None:
    recorded, _, _ = vectors.octets(case, "client_stream").partition(b"\r\n\r\n")
    (host,) = (str(value) for value in vectors.child(case, "configured_server").values())
    port = case["configured_port"] or 443  # which is what WSS takes
    assert isinstance(port, int)
    client = WebSocketClientCodec(host, port, random_bytes=lambda _: recorded_key(case))
    client.start()
    assert client.take_output() == recorded + b"\r\n\r\n"


def recorded_key(case: vectors.JsonObject) -> bytes:
    """The 16 random bytes of a recorded client."""
    lines = header_lines(case, "request_headers").splitlines()
    (key,) = (line.partition(": ")[2] for line in lines if line.startswith("Sec-Websocket-Key"))
    return b64decode(key)


def test_a_request_has_a_fresh_key_and_no_zone() -> None:
    requests = set()
    for _ in range(2):
        client = WebSocketClientCodec("fe80::1%eth0", 80)
        client.start()
        requests.add(client.take_output())
    assert len(requests) == 2
    assert all(b"\r\nHost: [fe80::1]:80\r\n" in request for request in requests)


def test_an_answer_may_come_byte_by_byte_and_frames_right_behind_it() -> None:
    client = calling_client()
    assert received(client, cut(ANSWER[:-1], 1)) == b""
    assert not client.is_open
    assert client.receive(ANSWER[-1:] + frame(BINARY, b"first")) == [b"first"]
    assert client.is_open


def changed(old: bytes, new: bytes) -> bytes:
    assert old in ANSWER
    return ANSWER.replace(old, new)


BAD_ANSWERS = {
    "404": (b"HTTP/1.1 404 Not Found\r\n\r\n", "the server answered 404, is this a TunGo server on /ws"),
    "a redirect": (
        b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
        "301, a redirection, and these are not foll",
    ),
    "a proxy without its server": (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502: the server behind the proxy"),
    "another interim answer": (b"HTTP/1.1 103 Early Hints\r\n\r\n", "answered 103"),
    "success of another kind": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "answered 200"),
    "HTTP/1.0": (b"HTTP/1.0 400 Bad Request\r\n\r\n", "does not answer in HTTP/1.1"),
    "another protocol": (b"SSH-2.0-Open", "does not answer in HTTP/1.1"),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", "not valid HTTP"),
    "a subprotocol": (changed(b"Upgrade: w", b"Sec-WebSocket-Protocol: x\r\nUpgrade: w"), "no subprotocols"),
    "compression": (
        changed(b"Upgrade: w", b"Sec-WebSocket-Extensions: permessage-deflate\r\nUpgrade: w"),
        "no extensions",
    ),
    "the answer to another key": (changed(b"Accept: B", b"Accept: A"), "Sec-WebSocket-Accept"),
    "no upgrade": (changed(b"Upgrade: websocket", b"X: y"), "opens no WebSocket"),
    "a broken header": (changed(b"Upgrade: w", b"nonsense\r\nUpgrade: w"), "header line"),
    "a head without an end": (b"HTTP/1.1 101 S\r\n" + b"x" * LARGEST_HEAD_BYTES, "more than 8192 bytes"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_wrong_answer_is_told_with_its_likely_cause(name: str) -> None:
    answer, reason = BAD_ANSWERS[name]
    client = calling_client()
    with pytest.raises(StreamRefusedError, match=reason):
        client.receive(answer)
    assert not client.is_open
    client.close()
    assert client.take_output() == b""


def test_the_body_of_a_wrong_answer_is_not_waited_for() -> None:
    client = calling_client()
    with pytest.raises(StreamRefusedError, match="answered 403"):
        received(client, cut(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\n", 5))


def test_both_ends_agree_when_the_answer_is_ours() -> None:
    client = WebSocketClientCodec("vpn.example.org", 443)
    client.start()
    server = WebSocketServerCodec(trusted=False)
    server.start()
    server.receive(client.take_output())
    client.receive(server.take_output())
    assert client.is_open
    assert server.is_open
    assert open_server().is_open


# -- heads that no program has written


@st.composite
def damaged(draw: st.DrawFn, head: bytes) -> bytes:
    """``head`` with a few stretches of it replaced by noise, or repeated."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(head)))
        stop = draw(st.integers(start, min(len(head), start + 30)))
        noise = st.sampled_from(
            [head[start:stop] * 2, b",", b" ", b"\r\n", b';="', b"\xff", b"\x00", b"[", b"%"]
        )
        head = head[:start] + draw(st.one_of(noise, st.binary(max_size=20))) + head[stop:]
    return head


@given(request=damaged(asking(plus=b"Origin: http://vpn.example.org\r\nX-Forwarded-For: 203.0.113.7")))
def test_a_damaged_request_is_granted_refused_or_waited_for(request: bytes) -> None:
    server = WebSocketServerCodec(trusted=True)
    try:
        server.receive(request)
    except StreamRefusedError:
        assert not server.is_open
    assert server.take_output().startswith(b"HTTP/1.1 ") == (
        b"\r\n\r\n" in request or not request[:1].isalpha()
    )
    assert server.client_endpoint(PROXY).port == PROXY.port


@given(answer=damaged(ANSWER))
def test_a_damaged_answer_is_taken_refused_or_waited_for(answer: bytes) -> None:
    client = calling_client()
    try:
        client.receive(answer)
    except StreamEndedError:
        assert not client.is_open
