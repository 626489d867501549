"""The rules for what is ours in a profile, TLS and trusted proxies: which end may say what, and where.

A setting that would do nothing is a problem: who wrote it believes that something is checked or hidden.
"""

from collections.abc import Iterator
from typing import Final

from domain.settings.errors import Problem, shown
from domain.settings.host import DOMAIN_EXPECTATION, is_domain
from domain.settings.profile import TlsSettings, TransportProfile, TransportProtocol

CERTIFICATE_HASH_BYTES: Final = 32  # SHA-256


def listener_protocol_problems(
    path: str, slot: TransportProtocol, profile: TransportProfile
) -> Iterator[Problem]:
    """A server's profile names its own slot; that of WS may say WSS, if there is a certificate for it."""
    if profile.protocol is slot:
        return
    value = shown(profile.protocol.value)
    if profile.protocol.slot is not slot:
        yield Problem(f"{path}.Protocol", value, f"{slot.value}, as in its name")
    elif not profile.tls.certificate_file and not profile.tls.key_file:
        # The Go program takes this for WS and serves in clear, without a word.
        yield Problem(
            f"{path}.Protocol",
            value,
            "WS, or TLS.CertificateFile and TLS.KeyFile beside it, without which nobody can speak TLS",
            related=(f"{path}.TLS",),
        )


def listener_extra_problems(
    path: str, slot: TransportProtocol, profile: TransportProfile
) -> Iterator[Problem]:
    """A server has a certificate with its key or neither, and proxies where there is a header to believe."""
    if slot is TransportProtocol.UDP and profile.trusted_proxies:
        expected = "nothing, for no header comes with UDP in which a proxy could name the client"
        yield Problem(f"{path}.TrustedProxies", "set", expected)
    if slot is not TransportProtocol.WS:
        yield from _no_tls_problems(path, profile.tls)
        return
    tls = profile.tls
    if tls.certificate_file and not tls.key_file:
        yield _half_problem(path, "KeyFile", "CertificateFile", "the path of the private key")
    if tls.key_file and not tls.certificate_file:
        yield _half_problem(path, "CertificateFile", "KeyFile", "the path of the certificate")
    for key, value in (
        ("CAFile", tls.ca_file),
        ("PinnedCertificate", tls.pinned_certificate),
        ("ServerName", tls.server_name),
    ):
        if value is not None:
            expected = "nothing, for a server checks no certificate; it belongs into a client's file"
            yield Problem(f"{path}.TLS.{key}", "set", expected)


def dialled_extra_problems(
    path: str, slot: TransportProtocol, profile: TransportProfile
) -> Iterator[Problem]:
    """A client has neither a certificate of its own nor proxies; its pin has the size of a hash."""
    if profile.trusted_proxies:
        expected = "nothing, for it belongs into the server's file"
        yield Problem(f"{path}.TrustedProxies", "set", expected)
    if slot is not TransportProtocol.WS:
        yield from _no_tls_problems(path, profile.tls)
        return
    tls = profile.tls
    if tls.pinned_certificate is not None and len(tls.pinned_certificate) != CERTIFICATE_HASH_BYTES:
        digits = 2 * CERTIFICATE_HASH_BYTES
        expected = f"the SHA-256 of a certificate, {CERTIFICATE_HASH_BYTES} bytes in {digits} hex digits"
        yield Problem(f"{path}.TLS.PinnedCertificate", shown(tls.pinned_certificate), expected)
    if tls.server_name is not None and not is_domain(tls.server_name):
        yield Problem(f"{path}.TLS.ServerName", shown(tls.server_name), DOMAIN_EXPECTATION)
    for key, file in (("CertificateFile", tls.certificate_file), ("KeyFile", tls.key_file)):
        if file is not None:
            expected = "nothing, for a client shows no certificate; it belongs into the server's file"
            yield Problem(f"{path}.TLS.{key}", "set", expected)


def _no_tls_problems(path: str, tls: TlsSettings) -> Iterator[Problem]:
    if tls:
        yield Problem(f"{path}.TLS", "set", "nothing, for TLS comes with WebSockets alone, in WSSettings")


def _half_problem(path: str, missing: str, present: str, what: str) -> Problem:
    return Problem(
        f"{path}.TLS.{missing}",
        "not set",
        f"{what} that goes with {present}",
        related=(f"{path}.TLS.{present}",),
    )
