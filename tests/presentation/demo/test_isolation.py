from pathlib import Path

import pytest

from presentation.demo.errors import DemoError
from presentation.demo.isolation import (
    HOST_MOUNTS_VARIABLE,
    check_tun_device,
    is_isolated,
    may_configure_networks,
)


@pytest.mark.parametrize(
    ("capabilities", "enough"),
    [
        ("000001ffffffffff", True),
        ("0000000000201000", True),
        ("0000000000001000", False),  # CAP_NET_ADMIN alone
        ("0000000000200000", False),  # CAP_SYS_ADMIN alone
        ("0000000000000000", False),
    ],
)
def test_rights_are_capabilities_and_not_a_user_id(capabilities: str, enough: bool) -> None:
    assert may_configure_networks(f"Uid:\t0\t0\nCapEff:\t{capabilities}\nCapBnd:\tffff\n") is enough


@pytest.mark.parametrize(
    ("variables", "isolated"),
    [
        ({}, False),
        ({HOST_MOUNTS_VARIABLE: "mnt:[1]"}, False),
        ({HOST_MOUNTS_VARIABLE: "mnt:[2]"}, True),
    ],
)
def test_isolation_is_a_mount_namespace_other_than_the_first(
    variables: dict[str, str], isolated: bool
) -> None:
    assert is_isolated(variables, "mnt:[1]") is isolated


def test_a_missing_tun_device_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="is missing") as caught:
        check_tun_device(tmp_path / "tun")
    assert "modprobe tun" in caught.value.advice


def test_a_device_that_cannot_be_opened_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="cannot be opened") as caught:
        check_tun_device(tmp_path)  # a folder cannot be opened for writing, not even by root
    assert "sudo" in caught.value.advice
