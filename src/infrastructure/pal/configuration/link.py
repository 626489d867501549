"""A client configuration as one line that fits a QR code: ``tungo://`` and base64url without padding of

=======  =====  ==================================================================================
offset   bytes  what
=======  =====  ==================================================================================
0        1      version, 1
1        4      CRC-32 of the text, big-endian: finds a link that was cut or mistyped
5        rest   the text: the client file as JSON without blanks, deflated with a fixed dictionary
=======  =====  ==================================================================================

``ClientPublicKey`` is left out where ``ClientPrivateKey`` is there, for it can be computed. Apart from that a
link says what the file says, and is as secret.
"""

import base64
import binascii
import json
import struct
import zlib
from typing import Final

from application.runtime.configuration import ConfigurationError
from domain.noise.primitives import KEY_BYTES
from domain.settings.client import ClientSettings
from domain.settings.rules import PublicKeyOf
from infrastructure.pal.configuration.files import parse_json
from infrastructure.pal.configuration.notation import NotationError, parse_key
from infrastructure.pal.configuration.writing import client_json

SCHEME: Final = "tungo://"
LINK: Final = "the link"  # how messages call it; the link itself is secret

_VERSION: Final = 1
_HEADER: Final = struct.Struct(">BI")

# Ours. A generated configuration has 1 000 bytes; a long list of networks may add some thousand.
LONGEST_LINK_CHARACTERS: Final = 64 * 1024
LONGEST_TEXT_BYTES: Final = 256 * 1024

# What generated files say, the most likely last, for that is the nearest. It is a part of the format: another
# dictionary is another version.
_DICTIONARY: Final = (
    b'{"ClientPrivateKey":"","PinnedCertificate":"","ServerName":"","CAFile":"","TLS":{"TrustedProxies":['
    b'"Offload":{"TunSegmentation":"off","UdpSegmentation":"off","UdpCoalescing":"off"},'
    b'"RekeyIntervalSeconds":120,"FallbackRetrySeconds":60,"AllowLAN":false,"KillSwitch":true,'
    b'"AllowIPv6Leak":true,"ExcludeLAN":false,"Exclude":["192.168.0.0/16","172.16.0.0/12","10.0.0.0/8"],'
    b'"Include":["0.0.0.0/0","::/0"],"DNSv6":["2606:4700:4700::1111","2001:4860:4860::8888"],'
    b'"DNSv4":["1.1.1.1","8.8.8.8"],"Server":{"Domain":"vpn.example.com","IPv6":"2001:db8::","IPv4":"192.0.2.'
    b'"},"Port":443,"MTU":1200,"Protocol":"WSS","Encryption":"ChaCha20Poly1305","DialTimeoutMs":5000},'
    b'"FallbackProtocols":["UDP","TCP","WSS"],"FallbackProtocols":["TCP","WS"]}'
    b'{"ClientID":1,"TCPSettings":{"TunName":"c_tcptun0","IPv4Subnet":"10.0.0.0/24","IPv6Subnet":"fd00::/64",'
    b'"Server":{"IPv4":"},"Port":8080,"MTU":1500,"Protocol":"TCP","Encryption":"ChaCha20Poly1305",'
    b'"DialTimeoutMs":5000},"UDPSettings":{"TunName":"c_udptun0","IPv4Subnet":"10.0.1.0/24",'
    b'"IPv6Subnet":"fd00:1::/64","Server":{"Domain":"},"Port":9090,"MTU":1400,"Protocol":"UDP",'
    b'"Encryption":"ChaCha20Poly1305","DialTimeoutMs":5000},"WSSettings":{"TunName":"c_wstun0",'
    b'"IPv4Subnet":"10.0.2.0/24","IPv6Subnet":"fd00:2::/64","Server":{"IPv4":"},"Port":1010,"MTU":1500,'
    b'"Protocol":"WS","Encryption":"ChaCha20Poly1305","DialTimeoutMs":5000},"X25519PublicKey":"=",'
    b'"Protocol":"UDP","ClientPrivateKey":null,"ClientPublicKey":"=","ClientPrivateKey":"="}'
)


def encode_link(settings: ClientSettings, public_key_of: PublicKeyOf) -> str:
    """The link of valid settings, or of settings that lack nothing but the private key."""
    document: dict[str, object] = json.loads(client_json(settings))
    if settings.private_key and public_key_of(settings.private_key) == settings.public_key:
        del document["ClientPublicKey"]
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    data = _HEADER.pack(_VERSION, zlib.crc32(text)) + deflate.compress(text) + deflate.flush()
    return SCHEME + base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def is_link(text_untrusted: str) -> bool:
    """Whether this is meant to be a link."""
    return text_untrusted.lstrip()[: len(SCHEME)].lower() == SCHEME


def decode_link(link_untrusted: str, public_key_of: PublicKeyOf) -> dict[str, object]:
    """The document in a link; what it says has not been examined. Blanks and line breaks do not matter.

    Raises ConfigurationError, which never quotes the link.
    """
    if len(link_untrusted) > LONGEST_LINK_CHARACTERS:
        raise ConfigurationError(f"{LINK} has more than {LONGEST_LINK_CHARACTERS} characters; copy it again.")
    characters = "".join(link_untrusted.split())[len(SCHEME) :]
    try:
        padding = "=" * (-len(characters) % 4)
        data_untrusted = base64.b64decode(characters + padding, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _damaged() from None
    if len(data_untrusted) < _HEADER.size:
        raise _damaged()
    version, checksum = _HEADER.unpack_from(data_untrusted)
    if version != _VERSION:
        raise ConfigurationError(
            f"{LINK} is of version {version}, expected {_VERSION}; it was damaged on its way or a newer "
            f"tungo made it."
        )
    text_untrusted = _inflated(data_untrusted[_HEADER.size :])
    if zlib.crc32(text_untrusted) != checksum:
        raise _damaged()
    try:
        document = parse_json(text_untrusted.decode(), LINK)
    except UnicodeDecodeError:
        raise _damaged() from None
    return _with_public_key(document, public_key_of)


def _inflated(data_untrusted: bytes) -> bytes:
    """No more than LONGEST_TEXT_BYTES are ever made of it, however much it says it is."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_DICTIONARY)
    try:
        text_untrusted = inflate.decompress(data_untrusted, LONGEST_TEXT_BYTES)
    except zlib.error:
        raise _damaged() from None
    if not inflate.eof or inflate.unused_data:
        raise _damaged()
    return text_untrusted


def _with_public_key(document: dict[str, object], public_key_of: PublicKeyOf) -> dict[str, object]:
    if document.get("ClientPublicKey") is not None:
        return document
    try:
        private_key = parse_key(document.get("ClientPrivateKey"))
    except NotationError:
        return document
    if len(private_key) == KEY_BYTES:
        public_key = public_key_of(private_key)
        document["ClientPublicKey"] = base64.b64encode(public_key).decode("ascii")
    return document


def _damaged() -> ConfigurationError:
    return ConfigurationError(f"{LINK} is not complete or was changed on its way; copy it again.")
