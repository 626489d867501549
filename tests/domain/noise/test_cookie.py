import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.noise.cookie import (
    BUCKET_S,
    COOKIE_REPLY_BYTES,
    CookieJar,
    address_bytes,
    cookie_key,
    hchacha20,
    is_cookie_reply,
    open_cookie_reply,
    seal_cookie_reply,
    xchacha20_poly1305,
)
from domain.noise.errors import CookieReplyError, MacMismatchError
from domain.noise.keys import KeyPair
from domain.noise.mac import mac2_key, write_mac2
from domain.noise.message import Message1
from tests import vectors
from tests.domain.noise import (
    CLIENT_EPHEMERAL,
    CLIENT_HOST,
    COOKIE_SECRET,
    PRIMITIVES,
    SERVER,
    UNIX_S,
    run_of,
)

EPHEMERAL = KeyPair.from_private(PRIMITIVES, CLIENT_EPHEMERAL).public
JAR = CookieJar(COOKIE_SECRET)
COOKIE = bytes.fromhex("f0d635c7deff2befc95217565d7b5558")
REPLY = seal_cookie_reply(PRIMITIVES, SERVER.public, EPHEMERAL, COOKIE, run_of(0, 24))


@pytest.mark.parametrize("case", vectors.cases("cookie", "cookie"))
def test_cookies_are_those_of_the_go_program(case: vectors.JsonObject) -> None:
    jar = CookieJar(vectors.octets(case, "secret"))
    cookie = jar.bake(vectors.text(case, "ip"), vectors.number(case, "unix_time"))
    assert cookie == vectors.octets(case, "cookie")


@pytest.mark.parametrize(
    "case", vectors.cases("cookie", "cookie_validate"), ids=lambda case: vectors.text(case, "note")
)
def test_cookies_are_taken_as_the_go_program_takes_them(case: vectors.JsonObject) -> None:
    jar = CookieJar(vectors.octets(case, "secret"))
    valid = jar.valid_cookies(vectors.text(case, "seen_ip"), vectors.number(case, "seen_at"))
    assert (vectors.octets(case, "cookie") in valid) is vectors.flag(case, "valid")


@pytest.mark.parametrize("case", vectors.cases("cookie", "cookie_reply"))
def test_cookie_replies_are_those_of_the_go_program(case: vectors.JsonObject) -> None:
    server_public = vectors.octets(case, "server_static_public")
    ephemeral = vectors.octets(case, "client_ephemeral_public")
    cookie = CookieJar(vectors.octets(case, "secret")).bake(
        vectors.text(case, "ip"), vectors.number(case, "unix_time")
    )
    assert cookie == vectors.octets(case, "cookie")
    assert cookie_key(server_public, ephemeral) == vectors.octets(case, "cookie_key")
    reply = seal_cookie_reply(PRIMITIVES, server_public, ephemeral, cookie, vectors.octets(case, "nonce"))
    assert reply == vectors.octets(case, "reply")


@pytest.mark.parametrize("case", vectors.cases("cookie", "cookie_reply_open"))
def test_cookie_replies_open_as_they_do_for_the_go_program(case: vectors.JsonObject) -> None:
    server_public = vectors.octets(case, "server_static_public")
    ephemeral = vectors.octets(case, "client_ephemeral_public")
    reply = vectors.octets(case, "reply")
    if vectors.text(case, "result") == "ok":
        cookie = open_cookie_reply(PRIMITIVES, server_public, ephemeral, reply)
        assert cookie == vectors.octets(case, "cookie")
    else:
        with pytest.raises(CookieReplyError):
            open_cookie_reply(PRIMITIVES, server_public, ephemeral, reply)


@pytest.mark.parametrize("case", vectors.cases("cookie", "is_cookie_reply"))
def test_the_length_alone_makes_a_cookie_reply(case: vectors.JsonObject) -> None:
    assert is_cookie_reply(bytes(vectors.number(case, "length"))) is vectors.flag(case, "result")


def test_the_values_of_appendix_a() -> None:
    assert JAR.bake(CLIENT_HOST, UNIX_S) == COOKIE
    assert JAR.bake("::ffff:192.0.2.1", UNIX_S) == COOKIE
    assert JAR.valid_cookies(CLIENT_HOST, UNIX_S)[1].hex() == "b93ce004ccd363fd206cb5c7b43f173c"
    assert JAR.bake("2001:db8::1", UNIX_S).hex() == "d2a93caf2d47f5cb7420709b4be8d273"
    assert REPLY.hex() == (
        "000102030405060708090a0b0c0d0e0f1011121314151617"
        "d79e8997bd3d31861cfa70e7efb51ed926f3b3e0f5ee82be5d3c6962347d76d3"
    )


def test_a_cookie_expires_after_its_second_bucket() -> None:
    start_s = UNIX_S // BUCKET_S * BUCKET_S
    message = _message_with(JAR.bake(CLIENT_HOST, start_s))
    JAR.verify(message, CLIENT_HOST, start_s)
    JAR.verify(message, CLIENT_HOST, start_s + 2 * BUCKET_S - 1)
    for unix_s in (start_s - 1, start_s + 2 * BUCKET_S):
        with pytest.raises(MacMismatchError):
            JAR.verify(message, CLIENT_HOST, unix_s)


def test_a_cookie_is_good_for_one_address_and_one_secret() -> None:
    message = _message_with(COOKIE)
    JAR.verify(message, CLIENT_HOST, UNIX_S)
    with pytest.raises(MacMismatchError):
        JAR.verify(message, "192.0.2.2", UNIX_S)
    with pytest.raises(MacMismatchError):
        CookieJar(run_of(0)).verify(message, CLIENT_HOST, UNIX_S)


@pytest.mark.parametrize("unix_s", [-1, 0, 119])
def test_a_clock_at_or_before_the_epoch_still_makes_cookies(unix_s: int) -> None:
    JAR.verify(_message_with(JAR.bake(CLIENT_HOST, unix_s)), CLIENT_HOST, unix_s)


def test_an_address_without_a_zone_and_one_with_it_are_the_same_to_a_cookie() -> None:
    assert address_bytes("fe80::1%eth0") == address_bytes("fe80::1")
    assert address_bytes("10.0.0.1") == address_bytes("::ffff:10.0.0.1")


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="example"):
        address_bytes("vpn.example")


def test_sizes_are_checked_where_they_come_in() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        CookieJar(bytes(31))
    with pytest.raises(ValueError, match="24 bytes"):
        xchacha20_poly1305(PRIMITIVES, bytes(32), bytes(23))


def test_hchacha20_gives_the_result_of_its_draft() -> None:
    # draft-irtf-cfrg-xchacha-03 section 2.2.1
    output = hchacha20(PRIMITIVES, run_of(0), bytes.fromhex("000000090000004a0000000031415927"))
    assert output.hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"


def test_a_nonce_that_begins_with_the_highest_counter_is_no_exception() -> None:
    nonce = b"\xff" * 24
    reply = seal_cookie_reply(PRIMITIVES, SERVER.public, EPHEMERAL, COOKIE, nonce)
    assert open_cookie_reply(PRIMITIVES, SERVER.public, EPHEMERAL, reply) == COOKIE


@pytest.mark.parametrize("position", range(COOKIE_REPLY_BYTES))
def test_every_flipped_byte_of_a_reply_is_refused(position: int) -> None:
    changed = bytearray(REPLY)
    changed[position] ^= 0xFF
    with pytest.raises(CookieReplyError):
        open_cookie_reply(PRIMITIVES, SERVER.public, EPHEMERAL, changed)


@pytest.mark.parametrize("size", range(COOKIE_REPLY_BYTES))
def test_every_truncation_of_a_reply_is_refused(size: int) -> None:
    with pytest.raises(CookieReplyError):
        open_cookie_reply(PRIMITIVES, SERVER.public, EPHEMERAL, REPLY[:size])


@given(st.binary(min_size=50, max_size=60) | st.binary(min_size=56, max_size=56))
def test_garbage_raises_nothing_but_the_error_of_cookies(garbage: bytes) -> None:
    with pytest.raises(CookieReplyError):
        open_cookie_reply(PRIMITIVES, SERVER.public, EPHEMERAL, garbage)


def _message_with(cookie: bytes) -> Message1:
    noise, mac1 = bytes(97), bytes(16)
    return Message1(noise, mac1, write_mac2(mac2_key(cookie), noise, mac1))
