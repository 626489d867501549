"""Rights that only some machines give."""

import os
from pathlib import Path

import pytest

from presentation.demo.errors import DemoError
from presentation.demo.isolation import check_tun_device, may_configure_networks


@pytest.fixture
def network_rights() -> None:
    """Skips the test where namespaces or TUN devices cannot be made; with CI set, fails it."""
    missing = ""
    if not may_configure_networks(Path("/proc/self/status").read_text("ascii")):
        missing = "no right to make network namespaces"
    try:
        check_tun_device(Path("/dev/net/tun"))
    except DemoError as error:
        missing = str(error)
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    elif missing:
        pytest.skip(missing)
