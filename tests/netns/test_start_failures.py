"""What a user sees when the program cannot start: one line that says what is wrong and what to do.

Everything that fails, fails on the client's host of a bed whose server runs: a server that would succeed
there finds the port free.
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from domain.settings.profile import TransportProtocol
from presentation.cli.commands import ExitStatus
from tests.netns.tungo_program import run_tungo
from tests.netns.tunnel_bed import (
    Folders,
    TunnelBed,
    edit_json,
    opened_tunnel_bed,
)

pytestmark = pytest.mark.netns

SERVER_FILE: Final = "server_configuration.json"
CLIENT_FILE: Final = "client_configuration.json"
FILES: Final = {"server": SERVER_FILE, "client": CLIENT_FILE}

# A failing start takes less than a second, and a client's that has to shake hands first not much more.
FAILURE_S: Final = 10

# Root without any capability: only the permission bits of its own files are on its side.
WITHOUT_RIGHTS: Final = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

# Root that may do everything but bind the ports below 1024.
WITHOUT_LOW_PORTS: Final = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")

# A mount namespace in which the folder of the TUN device is empty.
WITHOUT_TUN: Final = (
    *("unshare", "--mount", "--propagation", "private"),
    *("sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"),
)

Change = Callable[[dict[str, dict[str, object]]], None]


@pytest.fixture(scope="module")
def bed(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TunnelBed]:
    with opened_tunnel_bed(TransportProtocol.UDP, folders, tmp_path_factory.mktemp("logs")) as made:
        made.start_server()
        yield made


@pytest.fixture(params=["server", "client"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(folders: Folders, tmp_path: Path) -> Path:
    """Copies of a good server's and a good client's configuration, to be spoilt."""
    made = tmp_path / "tungo"
    shutil.copytree(folders.server, made)
    shutil.copy(folders.client / CLIENT_FILE, made)
    return made


def test_a_client_without_a_configuration_is_told_where_it_belongs(bed: TunnelBed, tmp_path: Path) -> None:
    complaint = failure(bed, "client", tmp_path)
    assert str(tmp_path / CLIENT_FILE) in complaint
    assert "gen' on the server" in complaint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"UDPSettings": \x00}'])
def test_a_file_that_is_no_configuration_is_named(bed: TunnelBed, folder: Path, role: str, text: str) -> None:
    (folder / FILES[role]).write_text(text)
    complaint = failure(bed, role, folder)
    assert str(folder / FILES[role]) in complaint
    assert "restore it from a backup" in complaint


def test_a_value_of_the_wrong_type_is_named_with_what_belongs_there(
    bed: TunnelBed, folder: Path, role: str
) -> None:
    edit_json(folder / FILES[role], set_in_udp("Port", "9090"))
    complaint = failure(bed, role, folder)
    assert str(folder / FILES[role]) in complaint
    assert "UDPSettings.Port is '9090', expected" in complaint


def test_a_key_of_the_wrong_length_is_named_and_not_shown(bed: TunnelBed, folder: Path, role: str) -> None:
    key = {"server": "X25519PrivateKey", "client": "ClientPrivateKey"}[role]

    def shorten(document: dict[str, str]) -> None:
        document[key] = "c2VjcmV0IGtleQ=="

    edit_json(folder / FILES[role], shorten)
    complaint = failure(bed, role, folder)
    assert key in complaint
    assert "32 bytes" in complaint
    assert "c2VjcmV0" not in complaint


def test_several_problems_are_named_at_once(bed: TunnelBed, folder: Path, role: str) -> None:
    edit_json(folder / FILES[role], set_in_udp("Port", 70_000))
    edit_json(folder / FILES[role], set_in_udp("MTU", 100_000))
    edit_json(folder / FILES[role], set_in_udp("TunName", "a/b"))
    complaint = failure(bed, role, folder)
    for field in ("UDPSettings.Port is 70000", "UDPSettings.MTU is 100000", "UDPSettings.TunName is 'a/b'"):
        assert field in complaint


def test_a_port_in_use_is_named(bed: TunnelBed, folder: Path) -> None:
    def occupy() -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.bind(("::", 9090))
        return made

    with bed.client.call(occupy):
        complaint = failure(bed, "server", folder)
    assert "9090" in complaint
    assert "another program uses the port" in complaint


def test_an_address_of_another_host_cannot_be_bound(bed: TunnelBed, folder: Path) -> None:
    edit_json(folder / SERVER_FILE, set_in_udp("Server", {"IPv4": "192.0.2.77"}))
    complaint = failure(bed, "server", folder)
    assert "192.0.2.77:9090" in complaint
    assert "this host has no such address" in complaint


def test_a_low_port_without_rights_is_named_with_the_right_it_needs(bed: TunnelBed, folder: Path) -> None:
    edit_json(folder / SERVER_FILE, set_in_udp("Port", 53))
    complaint = failure(bed, "server", folder, below=WITHOUT_LOW_PORTS)
    assert ":53" in complaint
    assert "CAP_NET_BIND_SERVICE" in complaint


def test_missing_rights_are_named(bed: TunnelBed, folder: Path, role: str) -> None:
    complaint = failure(bed, role, folder, below=WITHOUT_RIGHTS)
    assert "CAP_NET_ADMIN" in complaint
    assert "root" in complaint


def test_a_missing_tun_device_is_named_with_the_module_to_load(
    bed: TunnelBed, folder: Path, role: str
) -> None:
    complaint = failure(bed, role, folder, around=WITHOUT_TUN)
    assert "/dev/net/tun" in complaint
    assert "modprobe tun" in complaint


def test_an_interface_name_in_use_is_named_and_its_owner_kept(
    bed: TunnelBed, folder: Path, role: str
) -> None:
    name = {"server": "s_udptun0", "client": "c_udptun0"}[role]
    bed.client.run("ip", "link", "add", name, "type", "veth", "peer", "name", "other-end")
    try:
        complaint = failure(bed, role, folder)
    finally:
        bed.client.run("ip", "link", "delete", name)
    assert name in complaint
    assert f"ip link delete {name}" in complaint


def test_a_second_client_is_refused_and_the_first_one_goes_on(bed: TunnelBed, folder: Path) -> None:
    first = bed.start_client()
    try:
        complaint = failure(bed, "client", folder)
        assert "the other TunGo client" in complaint
        assert bed.answers(bed.server_in_tunnel)
    finally:
        first.stop()


def test_a_missing_nft_is_named_with_its_package(bed: TunnelBed, folder: Path, tmp_path: Path) -> None:
    complaint = failure(bed, "server", folder, path=str(tmp_path))
    assert "nft" in complaint
    assert "apt install nftables" in complaint


@pytest.mark.parametrize("exists", [True, False], ids=["present folder", "missing folder"])
def test_gen_into_a_folder_that_may_not_be_written_names_it(
    bed: TunnelBed, tmp_path: Path, exists: bool
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    folder = closed if exists else closed / "new"
    complaint = failure(bed, "server", folder, "gen", "--host", "192.0.2.2", below=WITHOUT_RIGHTS)
    assert str(folder / SERVER_FILE) in complaint
    assert "run as root" in complaint
    assert list(closed.iterdir()) == []


def test_a_configuration_of_somebody_else_is_named(bed: TunnelBed, folder: Path, role: str) -> None:
    file = folder / FILES[role]
    file.chmod(0o600)
    os.chown(file, 65534, 65534)
    complaint = failure(bed, role, folder, below=WITHOUT_RIGHTS)
    assert f"{file} may not be read by this user" in complaint
    assert "run as root" in complaint


def test_without_rights_the_kill_switch_stays_as_it_is(bed: TunnelBed, folder: Path) -> None:
    complaint = failure(bed, "client", folder, "unlock", below=WITHOUT_RIGHTS)
    assert "CAP_NET_ADMIN" in complaint


def set_in_udp(key: str, value: object) -> Change:
    def change(document: dict[str, dict[str, object]]) -> None:
        document["UDPSettings"][key] = value

    return change


def failure(
    bed: TunnelBed,
    role: str,
    folder: Path,
    *arguments: str,
    around: Sequence[str] = (),
    below: Sequence[str] = (),
    path: str | None = None,
) -> str:
    """The one line with which ``tungo`` gives up on the client's host; nothing on that host has changed.

    The exit status tells want of rights from any other reason.
    ``around`` is the command that starts it outside of the network namespace, ``below`` the one inside, which
    takes rights away.
    """
    before = bed.client.snapshot()
    command = (role, "--config-dir", str(folder), *arguments)
    environment = {} if path is None else {"PATH": path}
    outcome = run_tungo(bed.client, *command, around=around, below=below, within_s=FAILURE_S, **environment)
    lines = outcome.stderr.splitlines()
    complaints = [line for line in lines if not line.startswith("time=")]
    expected = ExitStatus.NO_RIGHTS if below else ExitStatus.FAILURE
    assert outcome.returncode == expected, outcome.stderr
    assert len(complaints) == 1, outcome.stderr
    assert complaints == lines[-1:]
    assert complaints[0].startswith("tungo: ")
    assert "unexpected" not in complaints[0]
    assert outcome.stdout == ""
    assert bed.client.snapshot() == before
    return complaints[0]
