"""Whatever may be a key is taken out of a text, and what reads like one and is none stays."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.logging.secrets import REMOVED, presentable, without_secrets

KEYS = st.binary(min_size=32, max_size=32)
AROUND = st.sampled_from(["", " ", '"', "'", ": ", "=", ",", "(", "\n", "}", ": '"])


def notations(key: bytes) -> list[str]:
    """The ways in which a key gets into a text."""
    return [
        base64.b64encode(key).decode(),
        base64.urlsafe_b64encode(key).decode(),
        base64.b64encode(key).decode().rstrip("="),
        key.hex(),
        key.hex().upper(),
        key.hex(":"),
        repr(key),
        repr(bytearray(key)),
        str(list(key)),
        " ".join(map(str, key)),
    ]


@given(key=KEYS, before=AROUND, after=AROUND)
def test_a_key_in_any_notation_does_not_pass(key: bytes, before: str, after: str) -> None:
    for notation in notations(key):
        text = without_secrets(f"x{before or ' '}{notation}{after or ' '}y")
        assert notation not in text
        assert REMOVED in text


@pytest.mark.parametrize(
    "text",
    [
        "the server's certificate is not the pinned one; its SHA-256 is " + "ab" * 32,
        "/usr/lib/python3/dist-packages/cryptography/hazmat/bindings/_rust.abi3.so",
        "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:443",
        "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16",
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
        "d7a8fbb307d7809469ca9abcb0082e4f",
        "peers 1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "it's a job's own business",
    ],
)
def test_what_is_no_key_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


def test_a_private_key_of_tls_is_removed_as_a_whole_even_if_its_end_is_missing() -> None:
    body = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\nsecond\n"
    end = "-----END EC PRIVATE KEY-----"
    assert without_secrets(f"a {body}{end} b") == f"a {REMOVED} b"
    assert without_secrets(f"a {body}") == f"a {REMOVED}"


def test_a_link_with_a_whole_configuration_is_removed() -> None:
    assert without_secrets("cannot read tungo://1eJxTYGBg here") == f"cannot read {REMOVED} here"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"\x00\x01", "<bytes>"),
        (memoryview(b"x"), "<memoryview>"),
        ([1, 2], "<list>"),
        (None, "<NoneType>"),
        (7, 7),
        (True, True),
        ("plain", "plain"),
    ],
)
def test_of_what_is_neither_text_nor_number_only_the_type_is_shown(value: object, shown: object) -> None:
    assert presentable(value) == shown
