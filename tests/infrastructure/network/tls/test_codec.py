"""TLS back to back: who is accepted, what passes, and how it ends."""

import ssl
import warnings
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.network.stream.codec import StreamEndedError, StreamRefusedError
from infrastructure.network.tls.client import ServerTrust, server_trust
from infrastructure.network.tls.codec import TlsCodec
from tests.infrastructure.network.tls.certificates import Authority, Certificate
from tests.infrastructure.network.tls.conversation import Conversation, server_context

NAME = "vpn.example.org"
ALERT = 21  # RFC 8446 section 5.1: the first byte of a record


@pytest.fixture(scope="session")
def trust(authority: Authority) -> ServerTrust:
    return server_trust(ca_file=authority.ca_file)


@pytest.fixture(scope="session")
def context(certificate: Certificate) -> ssl.SSLContext:
    return server_context(certificate)


def alert_in(record: bytes) -> int:
    """The description of the alert, in the clear, that ``record`` ends with."""
    assert record[-7] == ALERT
    return record[-1]


# -- opening


@pytest.mark.parametrize("chunk_bytes", [1, 100, 65_536])
def test_payload_passes_both_ways_once_both_ends_are_open(
    trust: ServerTrust, context: ssl.SSLContext, chunk_bytes: int
) -> None:
    talk = Conversation(trust, NAME, context, chunk_bytes=chunk_bytes)
    with pytest.raises(RuntimeError):
        talk.client.send(b"early")
    talk.run()
    assert talk.client.is_open
    assert talk.server.is_open
    upwards, downwards = bytes(range(256)) * 300, b"answer" * 5000
    talk.client.send(memoryview(upwards))
    talk.server.send(downwards)
    talk.server.send(b"")
    talk.run()
    assert (talk.to_server, talk.to_client) == (upwards, downwards)
    assert talk.client_end is talk.server_end is None


@given(
    payloads=st.lists(st.binary(max_size=20_000), min_size=1, max_size=4), chunk_bytes=st.integers(1, 30_000)
)
@settings(max_examples=25)
def test_any_stream_passes_through_any_chunks(
    trust: ServerTrust, context: ssl.SSLContext, payloads: list[bytes], chunk_bytes: int
) -> None:
    talk = Conversation(trust, NAME, context, chunk_bytes=chunk_bytes).run()
    for payload in payloads:
        talk.client.send(payload)
    talk.run()
    assert talk.to_server == b"".join(payloads)


def test_one_call_returns_all_payload_that_came(trust: ServerTrust, context: ssl.SSLContext) -> None:
    talk = Conversation(trust, NAME, context).run()
    stream = bytes(100_000) + b"and a record of its own"
    talk.client.send(stream[:100_000])
    talk.client.send(stream[100_000:])
    assert b"".join(talk.server.receive(talk.client.take_output())) == stream


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "2001:db8::1%eth0"])
def test_an_address_in_the_certificate_is_as_good_as_a_name(
    trust: ServerTrust, certificate: Certificate, address: str
) -> None:
    asked: list[str | None] = []
    context = server_context(certificate)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    talk = Conversation(trust, address, context).run()
    assert talk.client.is_open
    assert asked == [None]  # RFC 6066 section 3: no addresses in there


def test_a_name_is_sent_so_that_a_proxy_can_choose(trust: ServerTrust, certificate: Certificate) -> None:
    asked: list[str | None] = []
    context = server_context(certificate)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    Conversation(trust, NAME, context).run()
    assert asked == [NAME]


# -- a server that is not the right one


def refusal(talk: Conversation) -> str:
    """Why the client refused, after both ends have heard of it."""
    talk.run()
    assert isinstance(talk.client_end, StreamRefusedError)
    assert not talk.client.is_open
    assert (talk.to_client, talk.to_server) == (b"", b"")
    return str(talk.client_end)


@pytest.mark.parametrize("name", ["other.example.org", "192.0.2.2"])
def test_another_servers_certificate_is_refused(
    trust: ServerTrust, context: ssl.SSLContext, name: str
) -> None:
    talk = Conversation(trust, name, context)
    assert refusal(talk) == f"the server's certificate is not for {name}"
    # The alert reached the server, which now knows why nobody comes.
    assert isinstance(talk.server_end, StreamRefusedError)
    assert "does not accept our certificate" in str(talk.server_end)


def test_a_common_name_is_no_name(trust: ServerTrust, authority: Authority) -> None:
    old_style = authority.issue("old-style", ["192.0.2.9"], common_name=NAME)
    assert "is not for" in refusal(Conversation(trust, NAME, server_context(old_style)))


def test_an_expired_certificate_is_refused(trust: ServerTrust, authority: Authority) -> None:
    expired = authority.issue("expired", [NAME], valid_until=timedelta(minutes=-1))
    talk = Conversation(trust, NAME, server_context(expired))
    assert "has expired" in refusal(talk)
    assert "it has expired" in str(talk.server_end)


def test_a_certificate_of_tomorrow_is_refused(trust: ServerTrust, authority: Authority) -> None:
    early = authority.issue("early", [NAME], valid_from=timedelta(hours=1), valid_until=timedelta(hours=2))
    assert "is not valid yet" in refusal(Conversation(trust, NAME, server_context(early)))


def test_an_authority_that_nobody_named_is_refused(context: ssl.SSLContext) -> None:
    talk = Conversation(server_trust(), NAME, context)
    assert "an authority that is not trusted" in refusal(talk)
    assert "does not know the authority" in str(talk.server_end)


def test_a_pinned_certificate_needs_neither_name_nor_authority_nor_time(authority: Authority) -> None:
    expired = authority.issue("pinned", ["elsewhere.example"], valid_until=timedelta(minutes=-1))
    talk = Conversation(server_trust(pinned_certificate=expired.sha256), NAME, server_context(expired)).run()
    assert talk.client.is_open
    talk.client.send(b"hello")
    assert talk.run().to_server == b"hello"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_any_other_certificate_than_the_pinned_one_is_refused_before_payload(
    certificate: Certificate, version: ssl.TLSVersion
) -> None:
    context = server_context(certificate)
    context.maximum_version = version
    talk = Conversation(server_trust(pinned_certificate=bytes(32)), NAME, context)
    assert certificate.sha256.hex() in refusal(talk)
    # A goodbye, and nothing that looks like an error of the server's.
    assert talk.server_end is not None
    assert not isinstance(talk.server_end, StreamRefusedError)


# -- what is not TLS, or not the TLS of today


def test_a_server_without_tls_is_told(trust: ServerTrust) -> None:
    client = TlsCodec.for_client(trust, NAME)
    client.start()
    assert client.take_output()[0] == 22
    with pytest.raises(StreamRefusedError, match=r"does not speak TLS$"):
        client.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (b"GET /ws HTTP/1.1\r\n\r\n", "does not speak TLS but HTTP"),
        (b"\x00\x82" + bytes(130), "does not speak TLS"),
        (b"\x16\x03\x01\xff\xff" + bytes(50), "not valid TLS"),
        (b"\x16\x03\x01\x00\x05hello", "not valid TLS"),
    ],
    ids=["HTTP", "a TunGo frame", "an endless record", "no greeting"],
)
def test_a_client_without_tls_is_told(context: ssl.SSLContext, noise: bytes, reason: str) -> None:
    server = TlsCodec.for_server(context)
    server.start()
    with pytest.raises(StreamRefusedError, match=reason):
        server.receive(noise)
    assert not server.is_open
    server.close()
    output = server.take_output()
    assert not output or alert_in(output)


def test_tls_of_yesterday_is_refused_by_a_client(trust: ServerTrust, certificate: Certificate) -> None:
    old = server_context(certificate)
    with warnings.catch_warnings(action="ignore"):  # that it is deprecated is the point
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    talk = Conversation(trust, NAME, old).run()
    assert not talk.client.is_open
    assert "1.2 is the oldest" in str(talk.client_end)


def test_a_protocol_that_offers_nothing_newer_is_told(context: ssl.SSLContext, trust: ServerTrust) -> None:
    """A greeting of TLS 1.1, written down as bytes: not every OpenSSL still makes one."""
    body = b"\x03\x02" + bytes(32) + b"\x00" + b"\x00\x02\xc0\x13" + b"\x01\x00"
    greeting = b"\x01" + len(body).to_bytes(3, "big") + body
    server = TlsCodec.for_server(context)
    with pytest.raises(StreamRefusedError, match=r"1\.2 is the oldest"):
        server.receive(b"\x16\x03\x01" + len(greeting).to_bytes(2, "big") + greeting)
    alert = server.take_output()
    assert alert_in(alert) == 70  # protocol_version
    client = TlsCodec.for_client(trust, NAME)
    client.start()
    with pytest.raises(StreamRefusedError, match=r"1\.2 is the oldest"):
        client.receive(alert)


def test_a_changed_byte_is_found_and_answered_with_an_alert(
    trust: ServerTrust, context: ssl.SSLContext
) -> None:
    talk = Conversation(trust, NAME, context).run()
    talk.client.send(b"payload")
    record = bytearray(talk.client.take_output())
    record[-1] ^= 1
    with pytest.raises(StreamRefusedError, match="not valid TLS"):
        talk.server.receive(record)
    assert not talk.server.is_open
    talk.run()
    assert isinstance(talk.client_end, StreamRefusedError)
    talk.server.close()
    assert talk.server.take_output() == b""


# -- the end


def test_a_goodbye_ends_the_stream(trust: ServerTrust, context: ssl.SSLContext) -> None:
    talk = Conversation(trust, NAME, context).run()
    talk.client.close()
    assert not talk.client.is_open
    talk.client.close()
    talk.run()
    assert str(talk.server_end) == "the other end has closed the TLS connection"
    assert not isinstance(talk.server_end, StreamRefusedError)
    with pytest.raises(RuntimeError):
        talk.server.send(b"too late")


def test_payload_before_a_goodbye_is_not_lost(trust: ServerTrust, context: ssl.SSLContext) -> None:
    talk = Conversation(trust, NAME, context).run()
    talk.server.send(b"404, and goodbye")
    talk.server.close()
    assert talk.client.receive(talk.server.take_output()) == [b"404, and goodbye"]
    assert talk.client.is_open  # the other direction still is
    talk.client.send(b"thank you")
    with pytest.raises(StreamEndedError):
        talk.client.receive(b"")


def test_both_ends_may_close_at_once(trust: ServerTrust, context: ssl.SSLContext) -> None:
    talk = Conversation(trust, NAME, context).run()
    talk.client.send(b"unread")
    talk.client.close()
    talk.server.close()
    goodbyes = talk.client.take_output(), talk.server.take_output()
    assert all(goodbyes)
    with pytest.raises(StreamEndedError, match="closed the TLS connection"):
        talk.client.receive(goodbyes[1])
    assert talk.server.receive(goodbyes[0]) == [b"unread"]
    with pytest.raises(StreamEndedError, match="closed the TLS connection"):
        talk.server.receive(b"")


def test_an_end_that_was_never_open_says_no_goodbye(trust: ServerTrust) -> None:
    client = TlsCodec.for_client(trust, NAME)
    client.start()
    client.take_output()
    client.close()
    assert client.take_output() == b""
