"""How single values are written in the files (platform specification 4.1 and 4.2).

Errors::

    NotationError (a ValueError)   the text completes "expected ..."; pydantic collects them
"""

import binascii
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface
from typing import Annotated, Final, TypeAlias, TypeVar

from pydantic import Field, PlainValidator, StrictInt

from domain.addressing.tunnel import SubnetError, parse_ipv4_subnet, parse_ipv6_subnet
from domain.settings.host import HostError, parse_ipv4_literal, parse_ipv6_literal
from domain.settings.offload import OffloadMode
from domain.settings.profile import TransportProtocol

ENCRYPTION: Final = "ChaCha20Poly1305"
UNKNOWN_PROTOCOL: Final = "UNKNOWN"  # the Go program's word for "not set"

Parsed = TypeVar("Parsed")


class NotationError(ValueError):
    """A value is not written as it should be; the text completes "expected ..."."""


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise NotationError(expected)
    return value


def _subnet(parse: Callable[[str], Parsed], example: str) -> Callable[[object], Parsed | None]:
    def validated(value: object) -> Parsed | None:
        text = _text(value, f"a subnet such as {example!r}")
        if not text:
            return None
        try:
            return parse(text)
        except SubnetError as exc:
            raise NotationError(exc.expected) from exc

    return validated


def _literal(parse: Callable[[str], Parsed], expected: str) -> Callable[[object], Parsed]:
    def validated(value: object) -> Parsed:
        try:
            return parse(_text(value, expected).strip())
        except HostError as exc:
            raise NotationError(expected) from exc

    return validated


def _literal_or_empty(parse: Callable[[str], Parsed], expected: str) -> Callable[[object], Parsed | None]:
    literal = _literal(parse, expected)

    def validated(value: object) -> Parsed | None:
        return None if value == "" else literal(value)

    return validated


def _protocol(value: object) -> TransportProtocol:
    expected = f"one of {', '.join(protocol.value for protocol in TransportProtocol)}"
    try:
        return TransportProtocol(_text(value, expected).upper())
    except ValueError as exc:
        raise NotationError(expected) from exc


def _protocol_or_unknown(value: object) -> TransportProtocol | None:
    if isinstance(value, str) and value.upper() == UNKNOWN_PROTOCOL:
        return None
    return _protocol(value)


def _offload_mode(value: object) -> OffloadMode:
    expected = f"one of {', '.join(OffloadMode)}"
    try:
        return OffloadMode(_text(value, expected).lower())
    except ValueError as exc:
        raise NotationError(expected) from exc


def _encryption(value: object) -> str:
    if value != ENCRYPTION:
        raise NotationError(f"{ENCRYPTION}, the only one there is")
    return ENCRYPTION


def parse_key(value: object) -> bytes:
    """Standard base64 with padding; line breaks inside are tolerated, as the Go program does.

    Raises NotationError, which never quotes the value.
    """
    expected = "a key in base64"
    text = _text(value, expected).replace("\r", "").replace("\n", "")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as exc:
        raise NotationError(expected) from exc


def _file(value: object) -> str:
    """A path on one line: more of it may be the file's content, a private key, in the wrong place."""
    text = _text(value, _FILE)
    if not text.isprintable():
        raise NotationError(_FILE)
    return text


def _hash(value: object) -> bytes | None:
    """Hex digits as ``openssl x509 -fingerprint`` prints them, in pairs with colons, or without."""
    if value == "":
        return None
    try:
        return bytes.fromhex(_text(value, _HASH).replace(":", ""))
    except ValueError as exc:
        raise NotationError(_HASH) from exc


def _network(value: object) -> IPv4Network | IPv6Network:
    """A subnet, or an address, which is a subnet of one."""
    text = _text(value, _NETWORK).strip()
    try:
        if "/" not in text:
            return _network_of_one(text)
        written = ip_interface(text)
    except ValueError as exc:
        raise NotationError(_NETWORK) from exc
    network = written.network
    if written.ip != network.network_address:
        raise NotationError(f"a network without host bits, here {network}")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED_IPV4):
        # Nothing would ever be in it: a mapped IPv4 address is unmapped before it is looked up or routed.
        raise NotationError("an IPv4 network in its own notation, such as '10.0.0.0/8'")
    return network


def _network_of_one(text: str) -> IPv4Network | IPv6Network:
    try:
        return IPv4Network(parse_ipv4_literal(text))
    except HostError:
        return IPv6Network(parse_ipv6_literal(text))


_MAPPED_IPV4: Final = IPv6Network("::ffff:0:0/96")
_FILE: Final = "the path of a file in PEM form"
_HASH: Final = "a SHA-256 as 64 hex digits, with or without colons"
_NETWORK: Final = "an address or a network such as '192.0.2.1' or '10.0.0.0/8'"
_IPV4: Final = "an IPv4 address such as '192.0.2.1'"
_IPV6: Final = "an IPv6 address such as '2001:db8::1'"

# The range of the Go program's integers: a larger one would make the file unreadable to it.
WholeNumber: TypeAlias = Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]
Ipv4Subnet: TypeAlias = Annotated[
    IPv4Network | None, PlainValidator(_subnet(parse_ipv4_subnet, "10.0.1.0/24"))
]
Ipv6Subnet: TypeAlias = Annotated[
    IPv6Network | None, PlainValidator(_subnet(parse_ipv6_subnet, "fd00:1::/64"))
]
Ipv4Literal: TypeAlias = Annotated[IPv4Address, PlainValidator(_literal(parse_ipv4_literal, _IPV4))]
Ipv6Literal: TypeAlias = Annotated[IPv6Address, PlainValidator(_literal(parse_ipv6_literal, _IPV6))]
Ipv4Member: TypeAlias = Annotated[
    IPv4Address | None, PlainValidator(_literal_or_empty(parse_ipv4_literal, _IPV4))
]
Ipv6Member: TypeAlias = Annotated[
    IPv6Address | None, PlainValidator(_literal_or_empty(parse_ipv6_literal, _IPV6))
]
ProtocolName: TypeAlias = Annotated[TransportProtocol, PlainValidator(_protocol)]
ProtocolMember: TypeAlias = Annotated[TransportProtocol | None, PlainValidator(_protocol_or_unknown)]
OffloadName: TypeAlias = Annotated[OffloadMode, PlainValidator(_offload_mode)]
FilePath: TypeAlias = Annotated[str, PlainValidator(_file)]
CertificateHash: TypeAlias = Annotated[bytes | None, PlainValidator(_hash)]
Network: TypeAlias = Annotated[IPv4Network | IPv6Network, PlainValidator(_network)]
EncryptionName: TypeAlias = Annotated[str, PlainValidator(_encryption)]
Key: TypeAlias = Annotated[bytes, PlainValidator(parse_key)]
