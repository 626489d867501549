"""What resolvconf is told about the interface, by programs that write it down and one resolv.conf."""

import asyncio
import time
from pathlib import Path

import pytest

from infrastructure.pal.linux.dns.resolvconf import record_of, resolvconf_is_here, undo
from infrastructure.pal.linux.errors import ResolverError
from infrastructure.pal.linux.journal import CLIENT, JournalFolder
from infrastructure.pal.linux.recovery import clean_up
from tests.infrastructure.pal.linux.dns.places import OUR_LINES, SERVERS, THEIRS, Programs, lines_of

INTERFACE = "c_udptun0"
ADDED = f"resolvconf -a {INTERFACE} -m 0 -x"
DELETED = f"resolvconf -f -d {INTERFACE}"


def openresolv(path: Path) -> str:
    """Knows all options; a record that is not there is an error unless it is forced."""
    return f"""
    case "$1" in
    -a) cat > "{path}";;
    -f) rm -f "{path}";;
    -d) [ -e "{path}" ] || exit 1; rm "{path}";;
    esac"""


def debian(path: Path, others: str) -> str:
    """Knows no options, and lists the name servers of other interfaces, too."""
    return f"""
    case "$1" in
    -a) {{ cat; echo "{others}"; }} > "{path}";;
    -d) rm -f "{path}";;
    *) exit 99;;
    esac"""


def hold(path: Path, folder: JournalFolder) -> float:
    """The seconds that letting go took."""

    async def scenario() -> float:
        with folder.claimed(CLIENT, "tun0") as journal:
            async with record_of(INTERFACE, SERVERS, path, journal):
                assert [(entry.kind, entry.facts) for entry in journal.entries.values()] == [
                    ("resolvconf-record", {"record": INTERFACE})
                ]
                assert lines_of(path)[:2] == OUR_LINES[:2]
                begin = time.monotonic()
        return time.monotonic() - begin

    return asyncio.run(scenario())


def test_openresolv_is_told_that_nobody_else_is_to_be_asked(
    programs: Programs, path: Path, folder: JournalFolder
) -> None:
    programs.add("resolvconf", openresolv(path))
    hold(path, folder)
    assert programs.calls == [ADDED, DELETED]
    assert not path.exists()
    assert folder.interfaces(CLIENT) == []


def test_search_and_options_are_handed_on(programs: Programs, path: Path, folder: JournalFolder) -> None:
    path.write_bytes(THEIRS)
    programs.add(
        "resolvconf", openresolv(path).replace("-a) cat", f'-a) cat > "{path}.record"; cat "{path}.record"')
    )
    hold(path, folder)
    assert lines_of(path.with_name("resolv.conf.record")) == OUR_LINES


def test_that_of_debian_is_fine_if_a_name_server_of_the_host_asks_for_all(
    programs: Programs, path: Path, folder: JournalFolder
) -> None:
    programs.add("resolvconf", debian(path, "nameserver 127.0.0.1"))
    hold(path, folder)
    assert programs.calls == [ADDED, DELETED, f"resolvconf -d {INTERFACE}"]
    assert not path.exists()


@pytest.mark.parametrize("others", ["nameserver 192.0.2.1", "nameserver fe80::1%eth0"])
def test_if_others_would_be_asked_as_well_the_record_is_deleted(
    programs: Programs, path: Path, folder: JournalFolder, others: str
) -> None:
    programs.add("resolvconf", debian(path, others))
    with pytest.raises(ResolverError, match=f"resolvconf leaves {others.split()[1]} in"):
        hold(path, folder)
    assert programs.calls[-1] == f"resolvconf -d {INTERFACE}"
    assert folder.interfaces(CLIENT) == []


def test_if_the_file_is_not_that_of_resolvconf_the_record_is_deleted(
    programs: Programs, path: Path, folder: JournalFolder
) -> None:
    programs.add("resolvconf")
    with pytest.raises(ResolverError, match="resolvconf leaves no name server in"):
        hold(path, folder)
    assert programs.calls == [ADDED, DELETED]


def test_a_slow_one_does_not_hold_up_the_end_and_the_journal_goes_on_knowing(
    programs: Programs, path: Path, folder: JournalFolder
) -> None:
    programs.add("resolvconf", '[ "$1" = -f ] && sleep 1;' + openresolv(path))
    begin = time.monotonic()
    with pytest.raises(ResolverError, match="has not finished"):
        hold(path, folder)
    assert time.monotonic() - begin < 1
    assert folder.interfaces(CLIENT) == ["tun0"]
    while path.exists():  # it finishes by itself
        assert time.monotonic() - begin < 20
        time.sleep(0.05)
    assert asyncio.run(clean_up(folder, CLIENT)).undone == [f"the name servers of {INTERFACE} in resolvconf"]
    assert folder.interfaces(CLIENT) == []


def test_after_a_kill_the_record_is_deleted_by_name(programs: Programs, path: Path) -> None:
    programs.add("resolvconf", openresolv(path))
    path.write_text("nameserver 10.0.1.1\n")
    asyncio.run(undo({"record": "tun7"}))
    asyncio.run(undo({"record": "tun7"}))  # which is not there any more
    assert programs.calls == ["resolvconf -f -d tun7"] * 2
    assert not path.exists()


def test_after_a_kill_there_is_nothing_to_do_if_resolvconf_is_gone(programs: Programs) -> None:
    asyncio.run(undo({"record": "tun7"}))
    assert programs.calls == []


def test_the_one_that_systemd_brings_is_not_meant(programs: Programs) -> None:
    assert not resolvconf_is_here()
    programs.add("resolvectl")
    alias = programs.folder / "resolvconf"
    alias.symlink_to("resolvectl")
    assert not resolvconf_is_here()
    alias.unlink()
    programs.add("resolvconf")
    assert resolvconf_is_here()
