"""What a client trusts, and files that cannot be used for it."""

import ssl
from pathlib import Path

import pytest

from application.runtime.configuration import ConfigurationError
from infrastructure.network.tls.client import server_trust
from tests.infrastructure.network.tls.certificates import Authority, Certificate


def test_a_file_of_authorities_takes_the_place_of_the_systems(authority: Authority) -> None:
    trust = server_trust(ca_file=authority.ca_file)
    assert len(trust.context.get_ca_certs()) == 1
    assert trust.pinned_certificate is None
    assert trust.context.verify_mode is ssl.CERT_REQUIRED
    assert trust.context.check_hostname


def test_without_a_file_the_systems_authorities_are_used(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
    named = server_trust(ca_file=authority.ca_file)
    assert server_trust().context.get_ca_certs() == named.context.get_ca_certs()


def test_a_pin_is_kept_for_whoever_compares_it() -> None:
    assert server_trust(pinned_certificate=b"p" * 32).pinned_certificate == b"p" * 32


def test_an_old_version_of_tls_is_not_spoken() -> None:
    for trust in (server_trust(), server_trust(pinned_certificate=bytes(32))):
        assert trust.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match=r"none\.pem cannot be read: No such file"):
        server_trust(ca_file=path)


def test_a_file_without_certificates_is_named(tmp_path: Path, own_files: Certificate) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (str(empty), own_files.key_file):
        with pytest.raises(ConfigurationError, match="holds no certificate in PEM form") as caught:
            server_trust(ca_file=path)
        assert caught.value.sentences[0].startswith(path)
