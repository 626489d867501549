"""Why a TLS connection ended, in words that tell the operator of this end where to look."""

import ssl
from typing import Final

# X509_V_ERR_*, from OpenSSL's x509_vfy.h.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME: Final = frozenset({62, 64})  # of a host, of an address

# OpenSSL's names for what it stumbled over; those that begin with SSLV3_ALERT or TLSV1_ALERT were sent by
# the other end. What is not here is told by its name.
_NOT_TLS: Final = "it does not speak TLS"
_GARBLED: Final = "what it sent is not valid TLS"
_TOO_OLD: Final = "the two have no version of TLS in common: 1.2 is the oldest that is spoken here"
_NOT_ACCEPTED: Final = "it does not accept our certificate"
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "HTTP_REQUEST": f"{_NOT_TLS} but HTTP",
    "HTTPS_PROXY_REQUEST": f"{_NOT_TLS} but HTTP",
    "PACKET_LENGTH_TOO_LONG": _GARBLED,
    "UNEXPECTED_MESSAGE": _GARBLED,
    "LENGTH_MISMATCH": _GARBLED,
    "BAD_RECORD_TYPE": _GARBLED,
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": _GARBLED,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "UNKNOWN_PROTOCOL": _TOO_OLD,
    "VERSION_TOO_LOW": _TOO_OLD,
    "NO_PROTOCOLS_AVAILABLE": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "NO_SHARED_CIPHER": "the two have no cipher in common",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refuses: no cipher in common, or it wants a client certificate",
    "TLSV1_UNRECOGNIZED_NAME": "it knows no site of that name",
    "TLSV1_ALERT_UNKNOWN_CA": f"{_NOT_ACCEPTED}: it does not know the authority that signed it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_NOT_ACCEPTED}: it has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": f"{_NOT_ACCEPTED}: a wrong name, perhaps",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NOT_ACCEPTED,
}


def reason_of(error: ssl.SSLError, server_name: str | None) -> str:
    """What is wrong, as a clause about the other end. ``server_name`` is whom a client looks for."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate {_flaw(error, server_name)}"
    name = error.reason or "no reason given"
    return f"TLS with the other end failed: {_REASONS.get(name, name)}"


def _flaw(error: ssl.SSLCertVerificationError, server_name: str | None) -> str:
    code = error.verify_code
    if code in _OTHER_NAME:
        return f"is not for {server_name}"
    if code == _EXPIRED:
        return "has expired, or the clock of this host is wrong"
    if code == _NOT_YET_VALID:
        return "is not valid yet, or the clock of this host is wrong"
    if code in _UNKNOWN_AUTHORITY:
        return "is signed by an authority that is not trusted here"
    return f"is not valid: {error.verify_message}"
