"""Cookies: what a loaded server asks for before it spends a key agreement on a stranger.

The cookie is a MAC of the client's address that only the server can compute; a client that can return it
receives at that address. Protocol specification 1.6.
"""

import struct
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from domain.noise.errors import CookieReplyError, MacMismatchError
from domain.noise.mac import MAC_BYTES, labelled_key, mac2_key, short_mac, verify_mac2
from domain.noise.message import Message1
from domain.noise.primitives import KEY_BYTES, TAG_BYTES, Aead, Buffer, Primitives

# Protocol specification 1.6.
BUCKET_S: Final = 120
COOKIE_BYTES: Final = MAC_BYTES
COOKIE_NONCE_BYTES: Final = 24

# Cookie reply:
#   offset  size  field
#   0       24    nonce
#   24      16    cookie, sealed
#   40      16    tag
COOKIE_REPLY_BYTES: Final = COOKIE_NONCE_BYTES + COOKIE_BYTES + TAG_BYTES

# What the cookie is computed from:
#   offset  size  field
#   0       16    address; IPv4 in its IPv4-mapped IPv6 form
#   16      8     bucket number, little endian
_COOKIE_INPUT = struct.Struct("<16sQ")
_U64_MASK: Final = (1 << 64) - 1
_IPV4_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"

# ChaCha20's initial state (RFC 8439 section 2.3): 4 words of constant, 8 of key, 4 of counter and nonce.
_CHACHA20_CONSTANT: Final = b"expand 32-byte k"
_FOUR_WORDS = struct.Struct("<4I")
_LAST_ROW_OFFSET: Final = 48
_U32_MASK: Final = (1 << 32) - 1
_HCHACHA20_INPUT_BYTES: Final = 16


class CookieJar:
    """The cookies of one server process; nothing is stored, each is computed when it is needed.

    ``secret`` is 32 random bytes drawn at process start and shared by all listeners.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"the cookie secret has {KEY_BYTES} bytes")
        self._secret = secret

    def bake(self, source_host: str, unix_s: int) -> bytes:
        """The cookie for this address now, 16 bytes; it stays good for 120 to 240 s."""
        return self._cookie(source_host, unix_s // BUCKET_S)

    def valid_cookies(self, source_host: str, unix_s: int) -> tuple[bytes, bytes]:
        """The cookies that this address may hold: of the current bucket and of the previous one."""
        bucket = unix_s // BUCKET_S
        return self._cookie(source_host, bucket), self._cookie(source_host, bucket - 1)

    def verify(self, message: Message1, source_host: str, unix_s: int) -> None:
        """Raise MacMismatchError unless MAC2 shows one of this address's valid cookies."""
        current, previous = self.valid_cookies(source_host, unix_s)
        try:
            verify_mac2(mac2_key(current), message.noise, message.mac1, message.mac2)
        except MacMismatchError:
            verify_mac2(mac2_key(previous), message.noise, message.mac1, message.mac2)

    def _cookie(self, source_host: str, bucket: int) -> bytes:
        # Unsigned as on the wire: the bucket before number 0 wraps around, as it does in the Go program.
        return short_mac(self._secret, _COOKIE_INPUT.pack(address_bytes(source_host), bucket & _U64_MASK))


@lru_cache(maxsize=1)  # judging one message under load asks three times for one address
def address_bytes(host: str) -> bytes:
    """The 16-byte form of an address literal: IPv4 as IPv4-mapped IPv6, a zone dropped.

    Raises ValueError when ``host`` is no literal.
    """
    address = ip_address(host)
    return address.packed if isinstance(address, IPv6Address) else _IPV4_MAPPED_PREFIX + address.packed


def is_cookie_reply(message_untrusted: Buffer) -> bool:
    """Whether a client must take this for a cookie reply: the length alone decides."""
    return len(message_untrusted) == COOKIE_REPLY_BYTES


def seal_cookie_reply(
    primitives: Primitives, server_public: bytes, client_ephemeral_public: bytes, cookie: bytes, nonce: bytes
) -> bytes:
    """The answer to the message 1 that began with this ephemeral key; ``nonce`` is 24 fresh random bytes."""
    aead, aead_nonce = xchacha20_poly1305(
        primitives, cookie_key(server_public, client_ephemeral_public), nonce
    )
    return nonce + aead.encrypt(aead_nonce, cookie, client_ephemeral_public)


def open_cookie_reply(
    primitives: Primitives, server_public: bytes, client_ephemeral_public: bytes, reply_untrusted: Buffer
) -> bytes:
    """The cookie in a reply to the attempt with this ephemeral key.

    Raises CookieReplyError. That it opens proves little: whoever saw message 1 and knows the server's public
    key can make one, so a client must get by with a false cookie.
    """
    if not is_cookie_reply(reply_untrusted):
        raise CookieReplyError(f"a cookie reply has {COOKIE_REPLY_BYTES} bytes")
    reply = bytes(reply_untrusted)
    aead, aead_nonce = xchacha20_poly1305(
        primitives, cookie_key(server_public, client_ephemeral_public), reply[:COOKIE_NONCE_BYTES]
    )
    try:
        return aead.decrypt(aead_nonce, reply[COOKIE_NONCE_BYTES:], client_ephemeral_public)
    except primitives.authentication_failure as exc:
        raise CookieReplyError("the cookie reply was not sealed for this attempt") from exc


def cookie_key(server_public: bytes, client_ephemeral_public: bytes) -> bytes:
    """The key of the cookie reply, 32 bytes."""
    return labelled_key(b"cookie", server_public, client_ephemeral_public)


def xchacha20_poly1305(primitives: Primitives, key: bytes, nonce: bytes) -> tuple[Aead, bytes]:
    """XChaCha20-Poly1305 as ChaCha20-Poly1305 under a derived key, with the nonce to give it.

    ``nonce`` is 24 bytes (draft-irtf-cfrg-xchacha section 2.3).
    """
    if len(nonce) != COOKIE_NONCE_BYTES:
        raise ValueError(f"an XChaCha20 nonce has {COOKIE_NONCE_BYTES} bytes")
    subkey = hchacha20(primitives, key, nonce[:_HCHACHA20_INPUT_BYTES])
    return primitives.aead(subkey), bytes(4) + nonce[_HCHACHA20_INPUT_BYTES:]


def hchacha20(primitives: Primitives, key: bytes, data: bytes) -> bytes:
    """HChaCha20 of 16 bytes under a 32-byte key (draft-irtf-cfrg-xchacha section 2.2).

    It is the first and last row of the ChaCha20 state after the rounds. A keystream block is that state plus
    the initial one, and the initial rows are known, so they are taken off again.
    """
    block = primitives.chacha20_block(key, data)
    return _subtract_words(block[:16], _CHACHA20_CONSTANT) + _subtract_words(block[_LAST_ROW_OFFSET:], data)


def _subtract_words(row: bytes, initial: bytes) -> bytes:
    differences = (
        (word - start) & _U32_MASK
        for word, start in zip(_FOUR_WORDS.unpack(row), _FOUR_WORDS.unpack(initial), strict=True)
    )
    return _FOUR_WORDS.pack(*differences)
