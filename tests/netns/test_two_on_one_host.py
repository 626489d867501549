"""A client and a server of another tunnel on one host, and two clients that want the same host."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from domain.settings.profile import TransportProtocol
from domain.settings.rules import settings_path
from tests.netns.bed import Namespace
from tests.netns.tungo_program import START_S, Tungo, eventually
from tests.netns.tunnel_bed import (
    BEYOND,
    CLIENT,
    SERVER,
    Folders,
    TunnelBed,
    edit_json,
    make_folders,
    opened_tunnel_bed,
)

pytestmark = pytest.mark.netns

UDP, TCP = TransportProtocol.UDP, TransportProtocol.TCP

GUEST: Final = "100.64.9.2"
GUEST_GATEWAY: Final = "100.64.9.1"
OTHER_SERVER_IN_TUNNEL: Final = "10.77.0.1"
OTHER_TUNNEL: Final = {
    "IPv4Subnet": "10.77.0.0/24",
    "IPv6Subnet": "fd77::/64",
    "Port": 9191,
}


@dataclass(frozen=True, slots=True)
class OtherTunnel:
    """A server on the host of the first tunnel's client, and its client on a host of its own."""

    folders: Folders
    guest: Namespace

    def start_server(self, bed: TunnelBed, log_file: Path) -> Tungo:
        """Returns when it listens; the caller ends it."""
        made = Tungo(bed.client, "server", self.folders.server, log_file)
        made.await_log("msg=listening")
        return made

    def answers(self, address: str = OTHER_SERVER_IN_TUNNEL) -> bool:
        """Whether the guest gets an answer from ``address`` within a second."""
        return self.guest.reaches(address)


@pytest.fixture
def bed(folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    with opened_tunnel_bed(UDP, folders, tmp_path) as made:
        made.start_server()
        yield made


@pytest.fixture(scope="module", params=[UDP, TCP], ids=lambda transport: transport.value)
def other_folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    transport: TransportProtocol = request.param
    made = make_folders(transport, tmp_path_factory.mktemp("other"))

    def settle(**more: object) -> Callable[[dict[str, dict[str, object]]], None]:
        def change(document: dict[str, dict[str, object]]) -> None:
            document[settings_path(transport)] |= {**OTHER_TUNNEL, **more}

        return change

    edit_json(made.server / "server_configuration.json", settle(TunName="s_other0"))
    edit_json(made.client / "client_configuration.json", settle(TunName="c_other0", Server={"IPv4": CLIENT}))
    return made


@pytest.fixture
def other(bed: TunnelBed, other_folders: Folders) -> OtherTunnel:
    guest = bed.neighbour()
    for namespace, old, new in (
        (guest, "192.0.2.130/25", GUEST),
        (bed.internet, "192.0.2.129/25", GUEST_GATEWAY),
    ):
        listed = namespace.run("ip", "-o", "-4", "addr", "show", "to", old.split("/")[0])
        cable = listed.split()[1]
        namespace.run("ip", "addr", "del", old, "dev", cable)
        namespace.run("ip", "addr", "add", f"{new}/24", "dev", cable)
    guest.run("ip", "route", "replace", "default", "via", GUEST_GATEWAY)
    return OtherTunnel(other_folders, guest)


def test_a_client_and_a_server_of_another_tunnel_leave_each_other_alone(
    bed: TunnelBed, other: OtherTunnel, tmp_path: Path
) -> None:
    untouched = bed.client.snapshot()
    client = bed.start_client()
    with_client = settled(bed.client)
    server = other.start_server(bed, tmp_path / "other-server.log")
    guest = Tungo(other.guest, "client", other.folders.client, tmp_path / "guest.log")
    try:
        # Its server has to answer beside the tunnel that takes everything else of that host.
        guest.await_log('msg="tunnel is up"')
        assert eventually(other.answers, START_S), guest.log
        assert bed.answers(bed.server_in_tunnel)
        assert bed.source_seen_beyond() == SERVER
        assert other.answers(BEYOND)  # through both tunnels

        assert server.stop()[0] == 0, server.log
        assert bed.client.snapshot() == with_client
        assert bed.answers(bed.server_in_tunnel)

        server = other.start_server(bed, tmp_path / "other-server-again.log")
        assert eventually(other.answers, 2 * START_S), guest.log
        assert client.stop()[0] == 0, client.log
        assert other.answers()
        assert server.stop()[0] == 0, server.log
    finally:
        guest.kill()
        server.kill()
    assert bed.client.snapshot() == untouched


def test_a_client_of_another_tunnel_is_refused_and_everything_stays_as_it_was(
    bed: TunnelBed, other: OtherTunnel, tmp_path: Path
) -> None:
    first = bed.start_client()
    other_server = Tungo(other.guest, "server", other.folders.server, tmp_path / "other-server.log")
    edit_json(other.folders.client / "client_configuration.json", point_to(GUEST))
    second = None
    try:
        other_server.await_log("msg=listening")
        before = settled(bed.client)
        second = Tungo(bed.client, "client", other.folders.client, tmp_path / "second.log")
        assert eventually(lambda: not second.is_running, START_S), second.log
        complaint = second.log.splitlines()[-1]
        assert complaint.startswith("tungo: stop the other TunGo client of this host first: process ")
        assert bed.client.snapshot() == before
        assert first.is_running
        bed.await_answer(START_S)
    finally:
        if second is not None:
            second.kill()
        other_server.kill()
        edit_json(other.folders.client / "client_configuration.json", point_to(CLIENT))


def test_of_two_clients_that_start_together_one_comes_up_and_leaves_no_trace_of_the_other(
    bed: TunnelBed, folders: Folders, tmp_path: Path
) -> None:
    before = bed.client.snapshot()
    clients = [
        Tungo(bed.client, "client", folder, tmp_path / f"{folder.name}-together.log")
        for folder in (folders.client, folders.other)
    ]
    try:
        assert eventually(lambda: sum(client.is_running for client in clients) == 1, START_S)
        [survivor] = [client for client in clients if client.is_running]
        survivor.await_log('msg="tunnel is up"')
        assert eventually(lambda: bed.answers(bed.server_in_tunnel), START_S), survivor.log
        assert survivor.stop()[0] == 0, survivor.log
    finally:
        for client in clients:
            client.kill()
    assert bed.client.snapshot() == before


def settled(namespace: Namespace) -> dict[str, str]:
    """A snapshot when the kernel is done with the addresses that it gives new interfaces by itself."""
    assert eventually(lambda: "tentative" not in namespace.run("ip", "addr"), START_S)
    return namespace.snapshot()


def point_to(address: str) -> Callable[[dict[str, dict[str, object]]], None]:
    """Have a client look for its server at ``address``, over every transport."""

    def change(document: dict[str, dict[str, object]]) -> None:
        for transport in (UDP, TCP):
            document[settings_path(transport)]["Server"] = {"IPv4": address}

    return change
