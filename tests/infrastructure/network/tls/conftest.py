"""One authority and one certificate for all tests of the folder: making keys takes time."""

from pathlib import Path

import pytest

from tests.infrastructure.network.tls.certificates import Authority, Certificate


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that a client may trust."""
    return Authority.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Certificate:
    """A certificate for vpn.example.org and two addresses."""
    return authority.issue("server", ["vpn.example.org", "192.0.2.1", "2001:db8::1"])


@pytest.fixture
def own_files(authority: Authority, tmp_path: Path) -> Certificate:
    """A certificate whose files the test may change."""
    return authority.issue("own", ["a.example"], folder=tmp_path)
