import asyncio
import os
from pathlib import Path

import pytest

from application.diagnosis.finding import Severity
from infrastructure.pal.linux.doctor import rights
from infrastructure.pal.linux.doctor.rights import CAP_NET_ADMIN, capabilities, examine_rights


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel says of this thread, to be made up."""
    path = tmp_path / "status"
    monkeypatch.setattr(rights, "_STATUS", path)
    return path


def severity() -> Severity:
    [finding] = asyncio.run(examine_rights())
    return finding.severity


def test_capabilities_are_read_from_the_effective_set(status: Path) -> None:
    status.write_text("CapInh:\tffff\nCapEff:\t0000000000001401\nCapBnd:\tffff\n", encoding="ascii")
    assert capabilities() == {0, 10, CAP_NET_ADMIN}
    assert severity() is Severity.OK


@pytest.mark.parametrize(("user", "expected"), [(0, Severity.PROBLEM), (1000, Severity.WARNING)])
def test_without_the_capability_it_matters_who_it_is(
    user: int, expected: Severity, status: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status.write_text("CapEff:\t0000000000000000\n", encoding="ascii")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert severity() is expected
