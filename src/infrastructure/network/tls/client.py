"""How a client tells the right TLS server from all others.

Errors::

    ConfigurationError       (application.runtime.configuration) the authorities' file cannot be used
"""

import ssl
from dataclasses import dataclass, field

from application.runtime.configuration import ConfigurationError


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """What a server has to show; made by ``server_trust`` only.

    With ``pinned_certificate`` the context checks nothing by itself: whoever uses it compares the SHA-256 of
    the certificate (32 bytes, of the DER) before the first byte of payload.
    """

    context: ssl.SSLContext = field(repr=False)
    pinned_certificate: bytes | None = None


def server_trust(*, ca_file: str | None = None, pinned_certificate: bytes | None = None) -> ServerTrust:
    """Trust in one certificate if it is pinned, else in the authorities of ``ca_file``, else in the system's.

    Without a pin the server's name or address has to stand in the certificate as an alternative name, as Go
    demands it. TLS 1.2 is the oldest version, and no application protocol is asked for (specification 3.6).
    Raises ConfigurationError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if pinned_certificate is not None:
        # The pin says more than a chain or a name could. In this order: ssl refuses the other one.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return ServerTrust(context, pinned_certificate)
    context.hostname_checks_common_name = False
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authorities(context, ca_file)
    return ServerTrust(context)


def _load_authorities(context: ssl.SSLContext, ca_file: str) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as exc:
        raise ConfigurationError(
            f"{ca_file} holds no certificate in PEM form; put the certificate of the authority there that "
            f"signed the server's."
        ) from exc
    except OSError as exc:
        raise ConfigurationError(
            f"{ca_file} cannot be read: {exc.strerror}; correct TLS.CAFile or the file's rights."
        ) from exc
