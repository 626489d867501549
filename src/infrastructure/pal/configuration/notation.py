"""How single values are written in the files (platform specification 4.1 and 4.2).

Errors::

    NotationError (a ValueError)   the text completes "expected ..."; pydantic collects them
"""

import base64
import binascii
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Final, TypeAlias, TypeVar

from pydantic import Field, PlainValidator, StrictInt

from domain.addressing.tunnel import SubnetError, parse_ipv4_subnet, parse_ipv6_subnet
from domain.settings.host import HostError, parse_ipv4_literal, parse_ipv6_literal
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


def _protocol(value: object) -> TransportProtocol | None:
    expected = f"one of {', '.join(protocol.value for protocol in TransportProtocol)}"
    name = _text(value, expected).upper()
    if name == UNKNOWN_PROTOCOL:
        return None
    try:
        return TransportProtocol(name)
    except ValueError as exc:
        raise NotationError(expected) from exc


def _encryption(value: object) -> str:
    if value != ENCRYPTION:
        raise NotationError(f"{ENCRYPTION}, the only one there is")
    return ENCRYPTION


def _key(value: object) -> bytes:
    """Standard base64 with padding; line breaks inside are tolerated, as the Go program does."""
    expected = "a key in base64"
    text = _text(value, expected).replace("\r", "").replace("\n", "")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise NotationError(expected) from exc


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
ProtocolName: TypeAlias = Annotated[TransportProtocol | None, PlainValidator(_protocol)]
EncryptionName: TypeAlias = Annotated[str, PlainValidator(_encryption)]
Key: TypeAlias = Annotated[bytes, PlainValidator(_key)]
