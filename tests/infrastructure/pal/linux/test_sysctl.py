"""Kernel settings, on a folder that stands for /proc/sys; the real one is in tests/netns."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

import infrastructure.pal.linux.sysctl as sysctl_module
from infrastructure.pal.linux.errors import SysctlError
from infrastructure.pal.linux.journal import SERVER, Entry, Journal, JournalFolder
from infrastructure.pal.linux.sysctl import (
    IPV4_FORWARDING,
    IPV6_FORWARDING,
    KIND,
    SOURCE_VALID_MARK,
    advertisements_heeded_on,
    enable_ipv6_on,
    forwarding_on,
    ipv6_is_available,
    read_setting,
    refuse_unchangeable_forwarding,
    setting_kept_at,
    source_filter_is_strict,
    undo,
    write_setting,
)
from tests.adapters.log import RememberingLog

Settle: TypeAlias = Callable[[str, str], Path]

REDIRECTS = "net.ipv4.conf.all.accept_redirects"


@pytest.fixture
def journals(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "journals")


@pytest.fixture
def journal(journals: JournalFolder) -> Iterator[Journal]:
    with journals.claimed(SERVER, "tun0") as claimed:
        yield claimed
        assert claimed.entries == {}, "a change is still on the account"


@pytest.fixture
def settle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settle:
    """Makes a setting, as ``settle("net/ipv4/ip_forward", "0")``."""
    proc_sys = tmp_path / "proc"
    monkeypatch.setattr(sysctl_module, "_PROC_SYS", proc_sys)

    def make(path: str, value: str) -> Path:
        file = proc_sys / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        return file

    return make


def test_a_setting_is_kept_inside_and_put_back(settle: Settle, journal: Journal) -> None:
    settle("net/ipv4/conf/all/src_valid_mark", "0")
    with setting_kept_at(SOURCE_VALID_MARK, "1", journal):
        assert read_setting(SOURCE_VALID_MARK) == "1"
    assert read_setting(SOURCE_VALID_MARK) == "0"


def test_a_setting_is_put_back_after_an_error(settle: Settle, journal: Journal) -> None:
    settle("net/ipv4/conf/all/src_valid_mark", "0")
    with pytest.raises(RuntimeError), setting_kept_at(SOURCE_VALID_MARK, "1", journal):
        raise RuntimeError
    assert read_setting(SOURCE_VALID_MARK) == "0"


def test_a_setting_that_already_fits_is_not_written(
    settle: Settle, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle("net/ipv4/conf/all/src_valid_mark", "1")
    monkeypatch.setattr(Path, "write_text", read_only)
    with setting_kept_at(SOURCE_VALID_MARK, "1", journal):
        assert read_setting(SOURCE_VALID_MARK) == "1"


def test_a_setting_that_cannot_be_written_says_what_to_run(
    settle: Settle, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle("net/ipv4/ip_forward", "0")
    settle("net/ipv4/conf/all/forwarding", "0")
    monkeypatch.setattr(Path, "write_text", read_only)
    with (
        pytest.raises(SysctlError, match=r"sysctl -w net\.ipv4\.ip_forward=1") as raised,
        forwarding_on(IPV4_FORWARDING, journal, RememberingLog()),
    ):
        pass
    assert raised.value.key == IPV4_FORWARDING


@pytest.mark.parametrize(("value", "writable"), [("0", True), ("1", True), ("1", False)])
def test_forwarding_that_is_on_or_can_be_turned_on_is_not_refused(
    settle: Settle,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    writable: bool,
) -> None:
    settle("net/ipv4/ip_forward", value)
    monkeypatch.setattr(os, "access", lambda *_: writable)
    refuse_unchangeable_forwarding([IPV4_FORWARDING])
    assert read_setting(IPV4_FORWARDING) == value


def test_forwarding_that_is_off_for_good_is_refused_with_what_to_run(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle("net/ipv4/ip_forward", "1")
    settle("net/ipv6/conf/all/forwarding", "0")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SysctlError, match=r"sysctl -w net\.ipv6\.conf\.all\.forwarding=1"):
        refuse_unchangeable_forwarding([IPV4_FORWARDING, IPV6_FORWARDING])


def test_a_setting_that_does_not_exist_is_named(settle: Settle) -> None:
    settle("net/ipv4/ip_forward", "0")
    with pytest.raises(SysctlError, match=r"cannot read the kernel setting net\.ipv4\.absent"):
        read_setting("net.ipv4.absent")


def test_forwarding_puts_its_side_effects_back_too(settle: Settle, journal: Journal) -> None:
    settle("net/ipv4/ip_forward", "0")
    redirects = settle("net/ipv4/conf/all/accept_redirects", "0")
    uplink = settle("net/ipv4/conf/eth0.100/forwarding", "1")
    with forwarding_on(IPV4_FORWARDING, journal, RememberingLog()):
        # The kernel does this when the switch goes off again.
        redirects.write_text("1\n")
        uplink.write_text("0\n")
    assert read_setting(IPV4_FORWARDING) == "0"
    assert read_setting(REDIRECTS) == "0"
    assert read_setting("net.ipv4.conf.eth0/100.forwarding") == "1"


def test_an_interface_that_vanished_in_between_is_left_out(settle: Settle, journal: Journal) -> None:
    settle("net/ipv4/ip_forward", "0")
    settle("net/ipv4/conf/all/accept_redirects", "1")
    gone = settle("net/ipv4/conf/usb0/forwarding", "1")
    with forwarding_on(IPV4_FORWARDING, journal, RememberingLog()):
        gone.unlink()
    assert not gone.exists()
    assert read_setting(IPV4_FORWARDING) == "0"


def test_a_setting_that_somebody_changes_meanwhile_is_left_to_them(settle: Settle, journal: Journal) -> None:
    setting = settle("net/ipv6/conf/eth0/accept_ra", "1")
    with setting_kept_at("net.ipv6.conf.eth0.accept_ra", "2", journal):
        setting.write_text("0\n")
    assert setting.read_text() == "0\n"


def test_the_last_of_two_tunnels_puts_the_setting_back(
    settle: Settle, journals: JournalFolder, journal: Journal
) -> None:
    settle("net/ipv4/conf/all/src_valid_mark", "0")
    first = setting_kept_at(SOURCE_VALID_MARK, "1", journal)
    first.__enter__()
    with (
        journals.claimed(SERVER, "tun1") as others,
        setting_kept_at(SOURCE_VALID_MARK, "1", others),
    ):
        first.__exit__(None, None, None)
        assert read_setting(SOURCE_VALID_MARK) == "1"
    assert read_setting(SOURCE_VALID_MARK) == "0"


def test_what_a_killed_tunnel_left_is_put_back_after_the_next_one(
    settle: Settle, journals: JournalFolder, journal: Journal
) -> None:
    settle("net/ipv4/conf/all/src_valid_mark", "1")
    left = Entry(KIND, {"key": SOURCE_VALID_MARK, "value": "1", "before": "0", "around": {}})
    with journals.claimed(SERVER, "killed0") as killed:
        killed.record(left.kind, left.facts)
    with setting_kept_at(SOURCE_VALID_MARK, "1", journal):
        assert list(journal.entries.values()) == [left]
    assert read_setting(SOURCE_VALID_MARK) == "0"


def test_a_setting_is_put_back_from_what_the_journal_says(settle: Settle, journal: Journal) -> None:
    settle("net/ipv4/ip_forward", "0")
    redirects = settle("net/ipv4/conf/all/accept_redirects", "0")
    with forwarding_on(IPV4_FORWARDING, journal, RememberingLog()):
        (entry,) = journal.entries.values()
        redirects.write_text("1\n")
        for _ in range(2):  # a second time changes nothing
            asyncio.run(undo(entry.facts))
            assert (read_setting(IPV4_FORWARDING), read_setting(REDIRECTS)) == ("0", "0")


def test_forwarding_that_is_on_and_cannot_be_written_is_only_logged(
    settle: Settle, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle("net/ipv4/ip_forward", "1")
    settle("net/ipv4/conf/all/forwarding", "1")
    settle("net/ipv6/conf/eth0/accept_ra", "1")
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    monkeypatch.setattr(Path, "write_text", read_only)
    log = RememberingLog()
    with forwarding_on(IPV4_FORWARDING, journal, log), advertisements_heeded_on(["eth0"], journal, log):
        assert journal.entries == {}
    assert log.messages == [
        "kernel settings cannot be written here: forwarding is on and stays as it is",
        "the advertised default route of this host will be lost",
    ]


@pytest.mark.parametrize(("before", "inside"), [("0", "0"), ("1", "2"), ("2", "2")])
def test_advertisements_are_heeded_only_where_they_were(
    settle: Settle, journal: Journal, before: str, inside: str
) -> None:
    setting = settle("net/ipv6/conf/eth0/accept_ra", before)
    with advertisements_heeded_on(["eth0"], journal, RememberingLog()):
        assert setting.read_text().strip() == inside
    assert setting.read_text().strip() == before


@pytest.mark.parametrize(
    ("for_all", "default", "uplink", "strict"),
    [
        ("0", "0", "0", False),
        ("0", "0", "1", True),
        ("0", "1", "0", True),  # an interface that appears later will be strict
        ("1", "0", "0", True),
        ("0", "2", "2", False),
        ("1", "2", "2", True),  # some other interface, of which only 1 is asked
        ("2", "1", "1", False),  # the larger of both counts
    ],
)
def test_the_source_filter_is_strict_where_the_larger_value_is_one(
    settle: Settle, for_all: str, default: str, uplink: str, strict: bool
) -> None:
    for interface, value in (("all", for_all), ("default", default), ("eth0", uplink)):
        settle(f"net/ipv4/conf/{interface}/rp_filter", value)
    assert source_filter_is_strict() is strict


def test_the_loopback_does_not_count_as_strict(settle: Settle) -> None:
    settle("net/ipv4/conf/all/rp_filter", "0")
    settle("net/ipv4/conf/lo/rp_filter", "1")
    assert source_filter_is_strict() is False


def test_ipv6_is_there_when_new_interfaces_get_it(settle: Settle) -> None:
    settle("net/ipv4/ip_forward", "0")
    assert ipv6_is_available() is False
    settle("net/ipv6/conf/default/disable_ipv6", "0")
    assert ipv6_is_available() is True


@pytest.mark.parametrize("writable", [True, False])
def test_ipv6_that_is_off_by_default_is_there_if_it_can_be_switched_on(
    settle: Settle, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    settle("net/ipv6/conf/default/disable_ipv6", "1")
    monkeypatch.setattr("os.access", lambda _path, _mode: writable)
    assert ipv6_is_available() is writable


def test_ipv6_is_switched_on_for_an_interface_only_where_it_is_off(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = settle("net/ipv6/conf/tun0/disable_ipv6", "1")
    enable_ipv6_on("tun0")
    assert setting.read_text() == "0"
    monkeypatch.setattr(Path, "write_text", read_only)
    enable_ipv6_on("tun0")


def test_an_invalid_value_is_told_in_the_kernels_words(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle("net/ipv4/ip_forward", "0")

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(SysctlError, match="to 7: Invalid argument"):
        write_setting(IPV4_FORWARDING, "7")


def read_only(*_: object) -> int:
    raise OSError(errno.EROFS, "Read-only file system")
