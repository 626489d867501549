"""The beds and who is set up in them, in namespaces: what stands still rots."""

import contextlib
import socket
from pathlib import Path
from typing import Final

import pytest

from benchmarks.throughput.beds import StarBed, opened_star
from benchmarks.throughput.contenders import BareCable, Contender, OwnTunnel, await_answers
from benchmarks.throughput.measurements import Link, peak_mib, round_trips_ms, transfer
from benchmarks.throughput.peers import OpenVpn, WireGuardGo
from domain.settings.profile import TransportProtocol
from tests.netns.bed import require_namespaces

pytestmark = pytest.mark.netns

UDP_SEGMENT: Final = 103  # <linux/udp.h>
PORT: Final = 9

COUNTED: Final = (
    "add table inet count; "
    "add chain inet count arriving { type filter hook prerouting priority -200; }; "
    f"add rule inet count arriving udp dport {PORT} counter"
)


@pytest.fixture(autouse=True)
def _where_namespaces_are() -> None:
    require_namespaces()


def send_runs(bed: StarBed, runs: int) -> int:
    """How many packets the server has received when client 0 has sent runs of 40 datagrams."""

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
            for _ in range(runs):
                sender.sendto(bytes(40 * 1000), (bed.server_address(0), PORT))

    bed.server.run("nft", COUNTED)
    bed.clients[0].call(send)
    words = bed.server.run("nft", "list", "chain", "inet", "count", "arriving").split()
    return int(words[words.index("packets") + 1])


def test_a_lossy_cable_carries_every_segment_by_itself() -> None:
    with opened_star(1, lossy=True) as bed:
        assert send_runs(bed, 5) == 200


def test_a_good_cable_carries_runs() -> None:
    with opened_star(1) as bed:
        assert send_runs(bed, 5) == 5


def test_losses_take_about_as_many_packets_as_they_are_told_to() -> None:
    with opened_star(1, lossy=True) as bed:
        bed.lose(100)
        assert 1500 < send_runs(bed, 50) < 1950  # 1800 of 2000 expected, with a deviation of 13


def test_losses_end_when_they_are_told_to() -> None:
    with opened_star(1, lossy=True) as bed:
        bed.lose(999)
        bed.lose(0)
        assert send_runs(bed, 5) == 200


@pytest.mark.parametrize(
    "contender",
    [
        BareCable(),
        OwnTunnel(TransportProtocol.UDP, aggregated=True),
        OwnTunnel(TransportProtocol.WSS, aggregated=False),
        WireGuardGo(),
        OpenVpn(),
    ],
    ids=lambda contender: contender.name,
)
def test_a_contender_carries_echoes_and_a_stream_and_has_its_processes_told_apart(
    contender: Contender, tmp_path: Path
) -> None:
    if contender.missing():
        pytest.skip(f"NOT TESTED, not installed: {contender.missing()}")
    with opened_star(1) as bed, contextlib.ExitStack() as at_end:
        tunnel = contender.open(bed, tmp_path, at_end)
        await_answers(bed, tunnel)
        link = Link(bed.clients[0], bed.server, tunnel.addresses[0])

        assert round_trips_ms(link, 5)
        assert transfer(link, streams=1, down=True, seconds=1, omitted_s=0).size_bytes > 0
        pids = {*tunnel.client_pids, *filter(None, [tunnel.server_pid])}
        assert len(pids) == (0 if contender.name == "raw" else 2)
        assert all(peak_mib(pid) > 1 for pid in pids)


def test_two_clients_of_one_server_both_have_answers(tmp_path: Path) -> None:
    with opened_star(2) as bed, contextlib.ExitStack() as at_end:
        tunnel = OwnTunnel(TransportProtocol.UDP, aggregated=True).open(bed, tmp_path, at_end)
        await_answers(bed, tunnel)

        assert len(set(tunnel.client_pids)) == 2
