"""By which means a host asks the name servers of its tunnel, and what happens when none of them works."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from domain.addressing.tunnel import TunnelAddresses, client_addresses
from domain.settings.defaults import SLOT_DEFAULTS, default_server_profile
from domain.settings.profile import TransportProtocol
from infrastructure.pal.linux.dns.host import host_asks, name_servers_of
from infrastructure.pal.linux.journal import CLIENT, JournalFolder
from tests.adapters.log import RememberingLog
from tests.infrastructure.pal.linux.dns.places import (
    OUR_LINES,
    SERVERS,
    THEIRS,
    Programs,
    lines_of,
    plain_file,
    state_of,
)
from tests.infrastructure.pal.linux.dns.test_resolvconf import debian
from tests.infrastructure.pal.linux.dns.test_resolved import STUB_SOCKET

STUB = "nameserver 127.0.0.53\n"


def text_of(path: Path) -> str:
    return path.read_text()


@pytest.fixture
def hold(path: Path, folder: JournalFolder, log: RememberingLog) -> Callable[[], str]:
    """What programs read in resolv.conf while the tunnel's name servers are set."""

    async def scenario() -> str:
        with folder.claimed(CLIENT, "tun0") as journal:
            async with host_asks(SERVERS, "c_udptun0", journal, log, path):
                return text_of(path)

    return lambda: asyncio.run(scenario())


def means(log: RememberingLog) -> object:
    """What the log says that the name servers were set by."""
    [event] = [event for event in log.events if event.message == "name servers are set"]
    assert event.fields["servers"] == "10.0.1.1 fd00:1::1"
    return event.fields["by"]


def test_systemd_resolved_is_enough_if_all_ask_it(
    programs: Programs, path: Path, no_resolved: Path, hold: Callable[[], str], log: RememberingLog
) -> None:
    no_resolved.write_text(STUB_SOCKET)
    programs.add("resolvectl")
    programs.add("resolvconf")
    path.write_text(STUB)
    assert hold() == STUB
    assert means(log) == "systemd-resolved"
    assert {call.split()[0] for call in programs.calls} == {"resolvectl"}


def test_if_not_all_ask_systemd_resolved_the_file_is_replaced_as_well(
    programs: Programs, path: Path, no_resolved: Path, hold: Callable[[], str], log: RememberingLog
) -> None:
    no_resolved.write_text(STUB_SOCKET)
    programs.add("resolvectl")
    plain_file(path.parent)
    before = state_of(path.parent)
    assert "nameserver 10.0.1.1" in hold()
    assert means(log) == str(path)
    assert [call.split()[1] for call in programs.calls][0::4] == ["dns", "revert"]
    assert state_of(path.parent) == before


def test_if_systemd_resolved_refuses_the_file_is_replaced(
    programs: Programs, path: Path, no_resolved: Path, hold: Callable[[], str], log: RememberingLog
) -> None:
    no_resolved.write_text(STUB_SOCKET)
    programs.add("resolvectl", "exit 1")
    path.write_text(STUB)
    assert "nameserver 10.0.1.1" in hold()
    assert path.read_text() == STUB
    assert log.messages == [
        "systemd-resolved does not take the tunnel's name servers",
        "name servers are set",
    ]


def test_one_that_serves_another_namespace_is_not_told(
    programs: Programs, path: Path, hold: Callable[[], str], log: RememberingLog
) -> None:
    programs.add("resolvectl")
    path.write_text(STUB)
    assert "nameserver 10.0.1.1" in hold()
    assert programs.calls == []


def test_resolvconf_is_enough_if_it_leaves_nobody_else(
    programs: Programs, path: Path, hold: Callable[[], str], log: RememberingLog
) -> None:
    programs.add("resolvconf", debian(path, "search lan"))
    assert hold() == "nameserver 10.0.1.1\nnameserver fd00:1::1\nsearch lan\n"
    assert means(log) == "resolvconf"
    assert not path.exists()


def test_if_resolvconf_leaves_others_its_record_goes_and_the_file_is_replaced(
    programs: Programs, path: Path, hold: Callable[[], str], log: RememberingLog
) -> None:
    programs.add("resolvconf", debian(path, "nameserver 192.0.2.53") + f"\n[ -e {path} ] || echo > {path}")
    assert "192.0.2.53" not in hold()
    assert means(log) == str(path)
    assert programs.calls[-1] == "resolvconf -d c_udptun0"


def test_without_either_the_file_is_replaced(
    programs: Programs, path: Path, folder: JournalFolder, hold: Callable[[], str], log: RememberingLog
) -> None:
    plain_file(path.parent)
    before = state_of(path.parent)
    assert hold().splitlines()[2:] == OUR_LINES
    assert means(log) == str(path)
    assert state_of(path.parent) == before
    assert folder.interfaces(CLIENT) == []


def test_without_name_servers_nothing_is_touched(
    programs: Programs, path: Path, folder: JournalFolder, log: RememberingLog, no_resolved: Path
) -> None:
    no_resolved.write_text(STUB_SOCKET)
    programs.add("resolvectl")
    programs.add("resolvconf")
    plain_file(path.parent)
    before = state_of(path.parent)

    async def scenario() -> None:
        with folder.claimed(CLIENT, "tun0") as journal:
            async with host_asks([], "c_udptun0", journal, log, path):
                assert state_of(path.parent) == before
                assert journal.entries == {}

    asyncio.run(scenario())
    assert programs.calls == []
    assert log.events == []


def test_if_nothing_helps_the_tunnel_goes_on_and_one_sentence_says_so(
    programs: Programs, path: Path, folder: JournalFolder, log: RememberingLog
) -> None:
    path.mkdir()
    entered: list[bool] = []

    async def scenario() -> None:
        with folder.claimed(CLIENT, "tun0") as journal:
            async with host_asks(SERVERS, "c_udptun0", journal, log, path):
                entered.append(True)

    asyncio.run(scenario())
    assert entered
    assert [(event.level, event.message) for event in log.events] == [
        (
            "warning",
            "cannot set the tunnel's name servers: names are asked for as before, maybe beside the tunnel",
        )
    ]
    assert folder.interfaces(CLIENT) == []


def test_what_cannot_be_put_back_is_said_and_stays_in_the_journal(
    programs: Programs, path: Path, folder: JournalFolder, log: RememberingLog
) -> None:
    plain_file(path.parent)

    async def scenario() -> None:
        with folder.claimed(CLIENT, "tun0") as journal:
            async with host_asks(SERVERS, "c_udptun0", journal, log, path):
                path.with_name("resolv.conf.before-tungo").unlink()

    asyncio.run(scenario())
    assert [event.level for event in log.events] == ["info", "error"]
    assert folder.interfaces(CLIENT) == ["tun0"]


def test_an_error_inside_leaves_as_it_is_after_all_is_put_back(
    programs: Programs, path: Path, folder: JournalFolder, log: RememberingLog
) -> None:
    path.write_bytes(THEIRS)

    async def scenario() -> None:
        with folder.claimed(CLIENT, "tun0") as journal:
            async with host_asks(SERVERS, "c_udptun0", journal, log, path):
                assert lines_of(path) == OUR_LINES
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scenario())
    assert path.read_bytes() == THEIRS


def test_ipv6_name_servers_are_those_of_a_tunnel_that_carries_it() -> None:
    defaults = SLOT_DEFAULTS[TransportProtocol.UDP]
    profile = replace(
        default_server_profile(TransportProtocol.UDP),
        dns_v4=(IPv4Address("10.0.1.1"), IPv4Address("1.1.1.1")),
        dns_v6=(IPv6Address("fd00:1::1"),),
    )
    both = client_addresses(defaults.ipv4_subnet, defaults.ipv6_subnet, client_id=1)
    ipv4_only = TunnelAddresses(ipv4=both.ipv4, ipv6=None)
    assert name_servers_of(profile, both) == [*profile.dns_v4, *profile.dns_v6]
    assert name_servers_of(profile, ipv4_only) == [*profile.dns_v4]
