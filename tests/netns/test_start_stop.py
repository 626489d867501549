"""Starting and stopping work although something else does not: DNS is dead, the server is dead, or both."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from domain.settings.profile import TransportProtocol
from domain.settings.rules import settings_path
from tests.netns.tungo_program import Tungo, eventually
from tests.netns.tunnel_bed import (
    RECONNECT_S,
    SERVER,
    Folders,
    TunnelBed,
    edit_json,
    opened_tunnel_bed,
    over,
)

pytestmark = pytest.mark.netns

NAME: Final = "vpn.example.org"
PATIENCE_S: Final = 10.0
SILENT_RESOLVER: Final = "203.0.113.53"  # nobody has this address, and the path drops what is sent there
UDP, TCP = TransportProtocol.UDP, TransportProtocol.TCP


class Names:
    """How the client's program looks names up: a hosts file that a test can change, and a silent resolver."""

    def __init__(self, folder: Path) -> None:
        self._hosts = folder / "hosts"
        resolv_conf = folder / "resolv.conf"
        resolv_conf.write_text(f"nameserver {SILENT_RESOLVER}\n")
        self.forget()
        mounts = f"mount --bind {self._hosts} /etc/hosts && mount --bind {resolv_conf} /etc/resolv.conf"
        self.below = (
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-c", f'{mounts} && exec "$@"', "sh"),
        )

    def know(self) -> None:
        """The server's name is found in the hosts file, which has an address of one family only."""
        self._hosts.write_text(f"{SERVER} {NAME}\n")

    def forget(self) -> None:
        """From now on only the resolver could tell."""
        self._hosts.write_text("")


transport = over(UDP, TCP)


@pytest.fixture(scope="module")
def folders(transport: TransportProtocol, folders: Folders) -> Folders:
    """The client of these looks for its server by name."""

    def name_server(document: dict[str, dict[str, object]]) -> None:
        document[settings_path(transport)]["Server"] = {"Domain": NAME}

    edit_json(folders.client / "client_configuration.json", name_server)
    return folders


@pytest.fixture
def bed(transport: TransportProtocol, folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    with opened_tunnel_bed(transport, folders, tmp_path) as made:
        made.internet.run(
            "nft",
            "add table ip silence; add chain ip silence there { type filter hook prerouting priority -300; };"
            f"add rule ip silence there ip daddr {SILENT_RESOLVER} drop",
        )
        yield made


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names(tmp_path)


@contextmanager
def client_of(bed: TunnelBed, names: Names, log_file: Path) -> Iterator[Tungo]:
    """A client that looks names up as ``names`` say; it is gone on exit, and nothing is left of it."""
    before = bed.client.snapshot()
    client = Tungo(bed.client, "client", bed.folders.client, log_file, names.below)
    try:
        yield client
    finally:
        client.kill()
    assert bed.client.snapshot() == before


def asks_resolver(bed: TunnelBed) -> bool:
    """Whether a program of the client's host waits for an answer to a DNS question."""
    return SILENT_RESOLVER in bed.client.run("ss", "-Hun")


def test_a_client_stops_that_waits_for_a_resolver_which_does_not_answer(
    bed: TunnelBed, names: Names, tmp_path: Path
) -> None:
    with client_of(bed, names, tmp_path / "client.log") as client:
        assert eventually(lambda: asks_resolver(bed), PATIENCE_S), client.log
        assert client.stop()[0] == 0, client.log


def test_a_client_starts_by_a_name_and_stops_when_both_server_and_resolver_are_dead(
    bed: TunnelBed, names: Names, tmp_path: Path
) -> None:
    server = bed.start_server()
    names.know()
    with client_of(bed, names, tmp_path / "client.log") as client:
        client.await_log('msg="tunnel is up"')
        assert eventually(lambda: bed.answers(bed.server_in_tunnel), PATIENCE_S), client.log
        names.forget()
        server.kill()
        client.await_log('msg="session ended', RECONNECT_S)
        assert eventually(lambda: asks_resolver(bed), RECONNECT_S), client.log
        assert client.stop()[0] == 0, client.log


def test_a_client_reconnects_to_the_address_that_it_knows_while_the_resolver_is_dead(
    bed: TunnelBed, names: Names, tmp_path: Path
) -> None:
    server = bed.start_server()
    names.know()
    with client_of(bed, names, tmp_path / "client.log") as client:
        client.await_log('msg="tunnel is up"')
        names.forget()
        server.kill()
        client.await_log('msg="session ended', RECONNECT_S)
        bed.start_server()
        assert eventually(lambda: client.log.count("msg=connected") == 2, RECONNECT_S), client.log
        assert eventually(lambda: bed.answers(bed.server_in_tunnel), PATIENCE_S), client.log
        assert client.stop()[0] == 0, client.log


def test_both_ends_stop_while_nothing_gets_through_between_them(
    bed: TunnelBed, names: Names, tmp_path: Path
) -> None:
    before = bed.server.snapshot()
    server = bed.start_server()
    names.know()
    with client_of(bed, names, tmp_path / "client.log") as client:
        client.await_log('msg="tunnel is up"')
        assert eventually(lambda: bed.answers(bed.server_in_tunnel), PATIENCE_S), client.log
        bed.internet.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        assert client.stop()[0] == 0, client.log
        assert server.stop()[0] == 0, server.log
    assert bed.server.snapshot() == before
