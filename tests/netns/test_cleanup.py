"""``tungo server`` and ``tungo client`` are killed, and then comes ``cleanup`` or the next start."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.settings.profile import TransportProtocol
from tests.netns.tungo_program import run_tungo
from tests.netns.tunnel_bed import BEYOND, Folders, TunnelBed, opened_tunnel_bed

pytestmark = pytest.mark.netns

NOTHING = "there is nothing to take back\n"


@pytest.fixture
def bed(folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    """A server with a firewall that drops, and a client with a strict source filter: much to be changed."""
    with opened_tunnel_bed(TransportProtocol.UDP, folders, tmp_path) as made:
        made.server.run("iptables-nft", "-P", "FORWARD", "DROP")
        made.client.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
        yield made


def said(outcome: "subprocess.CompletedProcess[str]") -> tuple[int, str, str]:
    return outcome.returncode, outcome.stdout, outcome.stderr


def test_cleanup_takes_back_what_killed_processes_left_and_says_what(bed: TunnelBed) -> None:
    before = bed.server.snapshot(), bed.client.snapshot()
    bed.bring_up()
    bed.server_process.kill()
    bed.client_process.kill()
    assert bed.answers(BEYOND)  # the client is not cut off meanwhile

    status, output, complaints = said(run_tungo(bed.server, "server", "cleanup"))
    assert (status, complaints) == (0, "")
    assert output.splitlines() == [
        "took back the rules with the comment tungo:s_udptun0 of iptables-nft",
        "took back the kernel setting net.ipv6.conf.all.forwarding",
        "took back the kernel setting net.ipv4.ip_forward",
        "took back the firewall table inet tungo_server_s_udptun0",
    ]
    status, output, complaints = said(run_tungo(bed.client, "client", "cleanup"))
    assert (status, complaints) == (0, "")
    assert output.splitlines() == [
        "took back the routing rules of the client",
        "took back the kernel setting net.ipv4.conf.all.src_valid_mark",
        "took back the firewall table inet tungo_client",
    ]
    assert (bed.server.snapshot(), bed.client.snapshot()) == before


def test_cleanup_with_nothing_to_do_says_so_and_changes_nothing(bed: TunnelBed) -> None:
    before = bed.server.snapshot()
    for role in ("server", "client"):
        assert said(run_tungo(bed.server, role, "cleanup")) == (0, NOTHING, "")
    assert bed.server.snapshot() == before


def test_cleanup_is_refused_while_the_process_runs_and_the_tunnel_goes_on(bed: TunnelBed) -> None:
    bed.bring_up()
    for role, namespace in (("server", bed.server), ("client", bed.client)):
        before = namespace.snapshot()
        status, output, complaint = said(run_tungo(namespace, role, "cleanup"))
        assert (status, output) == (1, "")
        assert complaint.startswith(f"tungo: stop the other TunGo {role} of this host first: process ")
        assert namespace.snapshot() == before
    assert bed.answers(bed.server_in_tunnel)


def test_after_a_kill_the_next_start_and_stop_leave_both_hosts_as_before_the_first(bed: TunnelBed) -> None:
    before = bed.server.snapshot(), bed.client.snapshot()
    bed.bring_up()
    bed.server_process.kill()
    bed.client_process.kill()
    bed.bring_up()
    for process in (bed.client_process, bed.server_process):
        assert "took back what a killed process had left behind" in process.log
        assert process.stop()[0] == 0
    assert (bed.server.snapshot(), bed.client.snapshot()) == before
    assert said(run_tungo(bed.server, "server", "cleanup")) == (0, NOTHING, "")
    assert said(run_tungo(bed.client, "client", "cleanup")) == (0, NOTHING, "")
