"""``tungo doctor`` on hosts with something wrong: it finds that, says what to do, and changes nothing."""

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from domain.settings.profile import TransportProtocol
from infrastructure.pal.linux.journal import DEFAULT_STATE_FOLDER, STATE_FOLDER_VARIABLE
from infrastructure.pal.linux.namespace import namespace_inode
from presentation.cli.commands import ExitStatus
from tests.netns.bed import Namespace
from tests.netns.test_start_failures import WITHOUT_RIGHTS, WITHOUT_TUN
from tests.netns.tungo_program import START_S, eventually, run_tungo
from tests.netns.tunnel_bed import SERVER, Folders, TunnelBed, edit_json, opened_tunnel_bed

pytestmark = pytest.mark.netns

# The checks wait for up to a few seconds, all at the same time; the rest is for a busy machine.
TIMEOUT_S: Final = 40

WITH_READ_ONLY_SETTINGS: Final = (
    *("sh", "-c"),
    'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"',
    "sh",
)

ClientDocument: TypeAlias = dict[str, "str | dict[str, int]"]


@dataclass(frozen=True)
class Diagnosis:
    """What ``tungo doctor --json`` has said: severity, text and advice of each finding, by the check."""

    status: int
    findings: dict[str, list[tuple[str, str, str]]]

    def problem(self, check: str) -> str:
        """Text and advice of the one problem that ``check`` has found."""
        [(text, advice)] = [found[1:] for found in self.findings[check] if found[0] == "problem"]
        assert self.status == ExitStatus.FAILURE
        assert advice
        return f"{text}: {advice}"

    def severities(self, check: str) -> set[str]:
        """How bad it is."""
        return {severity for severity, _, _ in self.findings[check]}

    @property
    def problems(self) -> list[str]:
        """The checks that have found one."""
        return [check for check in self.findings if "problem" in self.severities(check)]


@pytest.fixture
def bed(folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    with opened_tunnel_bed(TransportProtocol.UDP, folders, tmp_path) as made:
        yield made


def doctor(
    namespace: Namespace,
    folder: Path,
    *,
    around: Sequence[str] = (),
    below: Sequence[str] = (),
    **environment: str,
) -> Diagnosis:
    """``around`` is the command that starts it outside of the network namespace, ``below`` the one inside."""
    # A new address is "tentative" for a second or two, and then no more.
    assert eventually(lambda: "tentative" not in namespace.run("ip", "addr"), START_S)
    before = namespace.snapshot(), journals_of(namespace)
    arguments = ("doctor", "--config-dir", str(folder), "--json")
    outcome = run_tungo(namespace, *arguments, around=around, below=below, within_s=TIMEOUT_S, **environment)
    assert outcome.stderr == ""
    assert (namespace.snapshot(), journals_of(namespace)) == before
    findings: dict[str, list[tuple[str, str, str]]] = {}
    for found in json.loads(outcome.stdout)["findings"]:
        findings.setdefault(found["check"], []).append((found["severity"], found["text"], found["advice"]))
    return Diagnosis(outcome.returncode, findings)


def journals_of(namespace: Namespace) -> dict[str, bytes]:
    """What stands in the journals of a host."""
    inode = namespace.call(namespace_inode)
    folder = Path(os.environ.get(STATE_FOLDER_VARIABLE) or DEFAULT_STATE_FOLDER)
    return {path.name: path.read_bytes() for path in folder.glob(f"*.{inode}.journal")}


def test_a_host_that_can_serve_has_no_problems_and_neither_has_one_that_does(bed: TunnelBed) -> None:
    at_rest = doctor(bed.server, bed.folders.server)
    assert (at_rest.status, at_rest.problems) == (ExitStatus.OK, [])
    assert at_rest.findings["server's ports"] == [("ok", "UDP port 9090 is free", "")]
    bed.start_server()
    serving = doctor(bed.server, bed.folders.server)
    assert (serving.status, serving.problems) == (ExitStatus.OK, [])
    assert serving.findings["server's ports"] == [("ok", "UDP port 9090 is served", "")]
    assert "a server runs on s_udptun0" in serving.findings["left behind"][0][1]


def test_a_client_s_host_is_well_while_the_server_serves_and_hears_of_it_when_not(bed: TunnelBed) -> None:
    refused = doctor(bed.client, bed.folders.client)
    assert refused.problems == ["server"]
    assert f"UDP to {SERVER}:9090 is refused" in refused.problem("server")
    bed.bring_up()
    well = doctor(bed.client, bed.folders.client)  # with the tunnel up: it looks past it
    assert (well.status, well.problems) == (ExitStatus.OK, [])
    assert bed.answers(bed.server_in_tunnel)


@pytest.mark.parametrize("protocol", ["TCP", "WS"])
def test_over_streams_it_is_known_whether_the_server_answers(
    protocol: str, bed: TunnelBed, tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    shutil.copytree(bed.folders.client, folder)

    def change(document: ClientDocument) -> None:
        document["Protocol"] = protocol

    edit_json(folder / "client_configuration.json", change)
    complaint = doctor(bed.client, folder).problem("server")
    assert SERVER in complaint
    assert "look whether the server runs" in complaint


def test_without_nft_its_package_is_named(bed: TunnelBed, tmp_path: Path) -> None:
    complaint = doctor(bed.server, bed.folders.server, PATH=str(tmp_path)).problem("nft")
    assert "nft is not installed" in complaint
    assert "apt install nftables" in complaint


def test_without_a_tun_device_the_module_is_named(bed: TunnelBed) -> None:
    complaint = doctor(bed.server, bed.folders.server, around=WITHOUT_TUN).problem("TUN device")
    assert "/dev/net/tun" in complaint
    assert "modprobe tun" in complaint


def test_forwarding_that_is_off_matters_where_a_server_cannot_turn_it_on(bed: TunnelBed) -> None:
    bed.server.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=1")
    assert doctor(bed.server, bed.folders.server).severities("forwarding") == {"ok"}
    closed = doctor(bed.server, bed.folders.server, below=WITH_READ_ONLY_SETTINGS)
    assert "sysctl -w net.ipv4.ip_forward=1" in closed.problem("forwarding")


def test_forwarding_that_somebody_turned_off_under_a_server_is_found(bed: TunnelBed) -> None:
    bed.start_server()
    bed.server.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    assert "somebody has turned it off" in doctor(bed.server, bed.folders.server).problem("forwarding")


def test_a_network_with_the_tunnel_s_subnet_is_named(bed: TunnelBed) -> None:
    for namespace, folder, check in (
        (bed.server, bed.folders.server, "server's subnets"),
        (bed.client, bed.folders.client, "client's subnets"),
    ):
        namespace.run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan-end")
        namespace.run("ip", "addr", "add", "10.0.1.77/25", "dev", "lan")
        complaint = doctor(namespace, folder).problem(check)
        assert "10.0.1.0/25" in complaint
        assert "the network at lan" in complaint


@pytest.mark.parametrize(
    ("uplink_bytes", "advice"),
    # Of 1400 bytes inside with 64 around them; with IPv6 inside, 1280 bytes have to fit.
    [(1464, None), (1463, "1399 or less"), (1344, "1280 or less"), (1343, "over TCP")],
)
def test_an_uplink_too_narrow_for_the_tunnel_is_told_of_with_what_fits(
    uplink_bytes: int, advice: str | None, bed: TunnelBed
) -> None:
    bed.client.run("ip", "link", "set", bed.client_cable, "mtu", str(uplink_bytes))
    found = doctor(bed.client, bed.folders.client)
    if advice is None:
        assert found.severities("client's MTU") == {"ok"}
    else:
        complaint = found.problem("client's MTU")
        assert f"MTU of {uplink_bytes}" in complaint
        assert advice in complaint


def test_what_a_killed_server_left_is_found_and_cleaned_up_as_advised(bed: TunnelBed) -> None:
    bed.start_server().kill()
    complaint = doctor(bed.server, bed.folders.server).problem("left behind")
    assert "made for s_udptun0" in complaint
    assert "`tungo server cleanup`" in complaint
    assert run_tungo(bed.server, "server", "cleanup", within_s=TIMEOUT_S).returncode == 0
    assert doctor(bed.server, bed.folders.server).problems == []


def test_a_port_of_another_program_is_named(bed: TunnelBed) -> None:
    with bed.server.call(occupied(socket.AF_INET6, "::", 9090)):
        complaint = doctor(bed.server, bed.folders.server).problem("server's ports")
    assert "9090: another program uses the port" in complaint


def test_a_firewall_that_drops_what_is_forwarded_is_named(bed: TunnelBed) -> None:
    chain = "add chain inet site passing { type filter hook forward priority 0; policy drop; }"
    bed.server.run("nft", f"add table inet site; {chain}")
    complaint = doctor(bed.server, bed.folders.server).problem("firewall")
    assert "inet site passing" in complaint


def test_without_rights_it_says_what_it_could_not_look_at(bed: TunnelBed) -> None:
    bed.start_server().kill()
    found = doctor(bed.server, bed.folders.server, below=WITHOUT_RIGHTS)
    assert "CAP_NET_ADMIN" in found.problem("rights")
    for check in ("nft", "firewall"):
        [(severity, text, advice)] = found.findings[check]
        assert (severity, advice) == ("warning", "run this as root to know")
        assert text.startswith("it could not be looked at: ")
    assert "made for s_udptun0" in found.problem("left behind")


def test_an_empty_folder_and_a_spoilt_file_are_problems(bed: TunnelBed, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "tungo server gen" in doctor(bed.server, empty).problem("configuration")
    (empty / "server_configuration.json").write_text("{", encoding="utf-8")
    assert "is not JSON" in doctor(bed.server, empty).problem("configuration")


def occupied(family: int, host: str, port: int) -> Callable[[], socket.socket]:
    def occupy() -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind((host, port))
        return made

    return occupy
