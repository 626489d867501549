"""Server and client where kernel settings cannot be written, as in many containers."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import pytest

from domain.settings.profile import TransportProtocol
from tests.netns.tungo_program import (
    START_S,
    STOP_S,
    Tungo,
    eventually,
    run_tungo,
)
from tests.netns.tunnel_bed import SERVER, Folders, TunnelBed, opened_tunnel_bed

pytestmark = pytest.mark.netns

READ_ONLY: Final = (
    *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
    'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"',
    "sh",
)
WARNING: Final = "kernel settings cannot be written here: forwarding is on and stays as it is"

# <linux/netlink.h>, <linux/rtnetlink.h>, <linux/netfilter/nfnetlink.h>: every change of a link, an address, a
# route, a rule or a firewall table.
_NETLINK_NETFILTER: Final = 12
_ROUTE_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400
_NFTABLES_GROUP: Final = 1 << (7 - 1)


class Notifications:
    """What the kernel tells of changes of the server's host from now on."""

    def __init__(self, bed: TunnelBed) -> None:
        self._sockets = bed.server.call(
            lambda: [
                _subscribed(socket.NETLINK_ROUTE, _ROUTE_GROUPS),
                _subscribed(_NETLINK_NETFILTER, _NFTABLES_GROUP),
            ]
        )

    def count(self) -> int:
        """How many messages have come."""
        number = 0
        for each in self._sockets:
            with suppress(BlockingIOError):
                while each.recv(65535):
                    number += 1
        return number

    def close(self) -> None:
        for each in self._sockets:
            each.close()


def _subscribed(protocol: int, groups: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    made.bind((0, groups))
    return made


@pytest.fixture
def bed(folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    with opened_tunnel_bed(TransportProtocol.UDP, folders, tmp_path) as made:
        yield made


def test_with_forwarding_on_a_server_and_a_client_warn_and_go_on(bed: TunnelBed, tmp_path: Path) -> None:
    bed.server.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    before = bed.server.snapshot(), bed.client.snapshot()
    server = Tungo(bed.server, "server", bed.folders.server, tmp_path / "server.log", READ_ONLY)
    client = None
    try:
        server.await_log("msg=listening")
        client = Tungo(bed.client, "client", bed.folders.client, tmp_path / "client.log", READ_ONLY)
        client.await_log('msg="tunnel is up"')
        assert eventually(lambda: bed.answers(bed.server_in_tunnel), START_S), client.log
        assert eventually(lambda: bed.answers(bed.server_in_tunnel_v6), START_S), client.log
        assert bed.source_seen_beyond() == SERVER
        assert client.stop()[0] == 0, client.log
        assert server.stop()[0] == 0, server.log
    finally:
        server.kill()
        if client is not None:
            client.kill()
    assert server.log.count(WARNING) == 2  # IPv4 and IPv6
    assert (bed.server.snapshot(), bed.client.snapshot()) == before


@pytest.mark.parametrize("missing", ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"])
def test_with_forwarding_off_a_server_says_so_in_a_sentence_before_it_has_changed_anything(
    bed: TunnelBed, missing: str
) -> None:
    bed.server.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    bed.server.run("sysctl", "-qw", f"{missing}=0")
    before = bed.server.snapshot()
    with closing(Notifications(bed)) as notifications:
        outcome = start_of_server(bed)
        assert notifications.count() == 0
    assert outcome.returncode != 0
    advice = f"run `sysctl -w {missing}=1` on the host, or run as root"
    assert outcome.stderr.splitlines() == [
        f"tungo: cannot set the kernel setting {missing} to 1: no permission here: {advice}"
    ]
    assert bed.server.snapshot() == before


def test_a_start_that_succeeds_would_have_been_noticed(bed: TunnelBed) -> None:
    with closing(Notifications(bed)) as notifications:
        bed.start_server()
        assert notifications.count() > 0


def start_of_server(bed: TunnelBed) -> "subprocess.CompletedProcess[str]":
    arguments = ("server", "--config-dir", str(bed.folders.server))
    return run_tungo(bed.server, *arguments, below=READ_ONLY, within_s=STOP_S)
