"""What systemd-resolved is told about the link, by a resolvectl that writes it down."""

import asyncio
import time
from pathlib import Path

import pytest

from infrastructure.pal.linux.dns.resolved import leads_to_resolved, resolved_is_here, servers_of_link
from infrastructure.pal.linux.errors import ResolverError
from tests.infrastructure.pal.linux.dns.places import SERVERS, Programs

# A line of /proc/net/udp with 127.0.0.53 port 53, as a machine with the least significant byte first has it.
STUB_SOCKET = (
    "  217: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   102        0 20483"
)


def hold() -> None:
    async def scenario() -> None:
        async with servers_of_link("c_udptun0", SERVERS):
            pass

    asyncio.run(scenario())


def test_the_link_gets_servers_and_all_names_and_loses_them_again(programs: Programs) -> None:
    programs.add("resolvectl")
    hold()
    assert programs.calls == [
        "resolvectl dns c_udptun0 10.0.1.1 fd00:1::1",
        "resolvectl domain c_udptun0 ~.",
        "resolvectl default-route c_udptun0 yes",
        "resolvectl flush-caches",
        "resolvectl revert c_udptun0",
    ]


def test_a_refusal_is_an_error_and_what_was_set_before_is_reverted(programs: Programs) -> None:
    programs.add("resolvectl", '[ "$1" = domain ] && { echo "Failed: no such link" >&2; exit 1; }; exit 0')
    with pytest.raises(ResolverError, match="resolvectl domain: Failed: no such link"):
        hold()
    assert [call.split()[1] for call in programs.calls] == ["dns", "domain", "revert"]


def test_a_dead_one_does_not_hold_up_the_end(programs: Programs) -> None:
    programs.add("resolvectl", '[ "$1" = revert ] && sleep 60; exit 0')

    async def scenario() -> float:
        async with servers_of_link("c_udptun0", SERVERS):
            begin = time.monotonic()
        return time.monotonic() - begin

    assert asyncio.run(scenario()) < 0.4
    assert programs.calls[-1] == "resolvectl revert c_udptun0"


@pytest.mark.parametrize(
    ("content", "leads"),
    [
        (b"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", True),
        (b"nameserver 127.0.0.53\nnameserver 127.0.0.54\n", True),
        (b"nameserver 127.0.0.53\nnameserver 192.0.2.1\n", False),
        (b"nameserver 192.0.2.1\n", False),
        (b"# nameserver 127.0.0.53\n", False),
        (b"", False),
    ],
)
def test_a_file_leads_to_it_that_names_nobody_else(content: bytes, *, leads: bool) -> None:
    assert leads_to_resolved(content) is leads


def test_it_is_here_if_its_socket_is_and_it_can_be_told(programs: Programs, no_resolved: Path) -> None:
    assert not resolved_is_here()
    no_resolved.write_text(STUB_SOCKET)
    assert not resolved_is_here()
    programs.add("resolvectl")
    assert resolved_is_here()
    no_resolved.write_text(STUB_SOCKET.replace("3500007F", "0100007F"))
    assert not resolved_is_here()
