"""A client configuration as one line, there and back, and whatever else may stand in its place."""

import base64
import json
import zlib
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.runtime.configuration import ConfigurationError
from domain.settings.client import ClientSettings
from domain.settings.profile import ServerAddress, TransportProtocol
from domain.settings.routing import TunnelRouting
from infrastructure.pal.configuration.link import (
    LONGEST_LINK_CHARACTERS,
    LONGEST_TEXT_BYTES,
    SCHEME,
    decode_link,
    encode_link,
    is_link,
)
from infrastructure.pal.configuration.reading import parse_client
from tests.domain.settings.samples import a_client, public_key_of, with_ipv6
from tests.infrastructure.pal.configuration.documents import CLIENT_FILES, case_name

FOLDER = Path("/etc/tungo")

# Links are on paper and in other people's chats: what this one says can never change.
LINK_OF_A_CLIENT = (
    "tungo://AeNh8JOjcurGCCojA2NQkjE01jMf_AmaONcjp1_TQZN-iXM73RKsk5mfRZlTYHq2RaZxWEp5kqt_RnGJc6RxcIlbYaFbQImz"
    "pb5jcVFGiYdHOZFpW8kz2DPLyzk016syvcA7s7jYJ9ikzNfFtdK3KtDQLyvZxD8k3zzAxUA7wMARmLAB"
)


def read(link: str) -> ClientSettings:
    return parse_client(json.dumps(decode_link(link, public_key_of)), "the link", public_key_of, FOLDER)


def link_of(text: bytes, *, version: int = 1, checksum: int | None = None, tail: bytes = b"") -> str:
    """A link with ``text`` in it, deflated without the dictionary."""
    deflate = zlib.compressobj(wbits=-15)
    data = bytes([version]) + (zlib.crc32(text) if checksum is None else checksum).to_bytes(4, "big")
    data += deflate.compress(text) + deflate.flush() + tail
    return SCHEME + base64.urlsafe_b64encode(data).decode().rstrip("=")


def unusual_client() -> ClientSettings:
    client = a_client()
    return replace(
        client,
        udp=with_ipv6(replace(client.udp, server=ServerAddress(domain="vpn.example.org"), port=51820)),
        fallbacks=(TransportProtocol.TCP, TransportProtocol.WSS),
        routing=TunnelRouting(exclude=(IPv4Network("192.0.2.0/24"),), kill_switch=True),
    )


def test_a_link_of_today_is_read_for_ever() -> None:
    assert read(LINK_OF_A_CLIENT) == a_client()


@pytest.mark.parametrize("client", [a_client(), unusual_client()], ids=["usual", "unusual"])
def test_a_link_says_all_that_the_file_says(client: ClientSettings) -> None:
    assert read(encode_link(client, public_key_of)) == client


@pytest.mark.parametrize("path", CLIENT_FILES, ids=case_name)
def test_the_link_of_a_file_fits_a_small_code(path: Path) -> None:
    client = parse_client(path.read_text(), str(path), public_key_of, FOLDER)
    link = encode_link(client, public_key_of)
    assert read(link) == client
    assert len(link) < 250
    assert link.isascii()


def test_a_link_can_lack_the_private_key() -> None:
    document = decode_link(encode_link(replace(a_client(), private_key=b""), public_key_of), public_key_of)
    assert document["ClientPrivateKey"] is None
    assert document["ClientPublicKey"] == base64.b64encode(a_client().public_key).decode()


def test_line_breaks_and_blanks_that_copying_brings_do_not_matter() -> None:
    broken = "\n  ".join(LINK_OF_A_CLIENT[start : start + 60] for start in range(0, 200, 60))
    assert read(f" {broken}\n") == a_client()


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("tungo://x", True), (" TUNGO://x", True), ("tungo:/x", False), ("{}", False), ("tungo.json", False)],
)
def test_a_link_is_told_by_its_beginning(text: str, is_one: bool) -> None:
    assert is_link(text) is is_one


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        (SCHEME, "not complete or was changed"),
        (f"{SCHEME}AA", "not complete or was changed"),
        (f"{SCHEME}***", "not complete or was changed"),
        (LINK_OF_A_CLIENT[:-1], "not complete or was changed"),
        (LINK_OF_A_CLIENT[:-20], "not complete or was changed"),
        (LINK_OF_A_CLIENT + "AAAA", "not complete or was changed"),
        (LINK_OF_A_CLIENT.swapcase(), "not complete or was changed|version"),
        (link_of(b"{}", version=2), "version 2, expected 1"),
        (link_of(b"{}", checksum=1), "not complete or was changed"),
        (link_of(b"{}", tail=b"more"), "not complete or was changed"),
        (link_of(b"\xff"), "not complete or was changed"),
        (link_of(b"[]"), "not an object"),
        (link_of(b"{"), "not JSON"),
        (SCHEME + "A" * LONGEST_LINK_CHARACTERS, "more than"),
    ],
)
def test_what_is_no_link_is_refused_in_one_sentence_that_does_not_quote_it(link: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        decode_link(link, public_key_of)
    (told,) = caught.value.sentences
    assert link[len(SCHEME) :][:8] not in told or len(link) <= len(SCHEME)


def test_a_small_link_cannot_become_a_large_text() -> None:
    bomb = link_of(b'{"a":"' + b"0" * (20 * LONGEST_TEXT_BYTES) + b'"}')
    assert len(bomb) < LONGEST_LINK_CHARACTERS
    with pytest.raises(ConfigurationError, match="not complete"):
        decode_link(bomb, public_key_of)


@given(
    place=st.integers(min_value=len(SCHEME), max_value=len(LINK_OF_A_CLIENT) - 2),
    other=st.sampled_from("ABCabc012-_"),
)
def test_a_mistyped_character_is_noticed(place: int, other: str) -> None:
    mistyped = LINK_OF_A_CLIENT[:place] + other + LINK_OF_A_CLIENT[place + 1 :]
    if mistyped == LINK_OF_A_CLIENT:
        return
    with pytest.raises(ConfigurationError):
        decode_link(mistyped, public_key_of)


@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda data: base64.urlsafe_b64encode(data).decode())
)
def test_whatever_stands_behind_the_scheme_is_a_document_or_one_error(untrusted: str) -> None:
    sentences: tuple[str, ...] = ("it is a document",)
    try:
        decode_link(SCHEME + untrusted, public_key_of)
    except ConfigurationError as error:
        sentences = error.sentences
    assert len(sentences) == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CLIENT_KEYS = st.sampled_from(["ClientPrivateKey", "ClientPublicKey", "ClientID", "UDPSettings", "Protocol"])


@given(st.dictionaries(CLIENT_KEYS | st.text(max_size=8), JSON_VALUES, max_size=5))
def test_whatever_a_link_says_is_valid_or_an_error(document: dict[str, object]) -> None:
    link = link_of(json.dumps(document).encode())
    with pytest.raises(ConfigurationError):
        read(link)
