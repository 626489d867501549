"""Aggregated frames between real processes: on the wire, over bad paths, and beside plain peers."""

import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from domain.session.aggregated_stream import LARGEST_AGGREGATED_BODY_BYTES
from domain.session.framing import LARGEST_BODY_BYTES, split_frames
from domain.session.nonce import DATAGRAM_OVERHEAD_BYTES
from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.profile import LARGEST_MTU_BYTES, TransportProtocol
from tests.netns.bed import Namespace
from tests.netns.tungo_program import Tungo, eventually
from tests.netns.tunnel_bed import (
    CLIENT,
    SERVER,
    Folders,
    TunnelBed,
    edit_json,
    make_folders,
    opened_tunnel_bed,
    over,
    set_rekey_interval,
    transfer,
)
from tests.netns.wire import Wire

pytestmark = pytest.mark.netns

UDP, TCP = TransportProtocol.UDP, TransportProtocol.TCP
PORT: Final = SLOT_DEFAULTS[UDP].port
NEIGHBOUR: Final = "192.0.2.130"
REKEY_INTERVAL_S: Final = 1
TRANSFER_MIB: Final = 8
LOSSY_MIB: Final = 2
PATIENCE_S: Final = 30.0

UDP_SEGMENT: Final = 103  # <linux/udp.h>
PROBE_SEGMENT_BYTES: Final = 1000
PROBE_SEGMENTS: Final = 20
PROBES: Final = 70  # enough for some to be counted, and not too many for a receive buffer
FEW: Final = 3
LARGE: Final = 12  # fewer datagrams than a whole train takes, at any MTU
SMALL: Final = 8  # at 1 % loss: 3, or as many more as the worst second had luck

OVER_UDP = pytest.mark.parametrize("transport", [UDP], indirect=True, ids=["UDP"])
OVER_TCP = pytest.mark.parametrize("transport", [TCP], indirect=True, ids=["TCP"])


transport = over(UDP, TCP)


@pytest.fixture(scope="module")
def folders(folders: Folders) -> Folders:
    """Keys change often, and the neighbour wants no aggregated frames."""
    set_rekey_interval(folders.client, REKEY_INTERVAL_S)
    set_aggregation(folders.other / "client_configuration.json", wanted=False)
    return folders


def set_aggregation(file: Path, *, wanted: bool) -> None:
    def change(document: dict[str, bool]) -> None:
        document["Aggregation"] = wanted

    edit_json(file, change)


def transfer_both_ways(near: socket.socket, far: socket.socket, mib: int, pause_s: float = 0.0) -> None:
    """Random bytes up and then down one connection, compared by their SHA-256."""
    for source, sink in ((near, far), (far, near)):
        sent, received = transfer(source, sink, mib, between=lambda _mib: time.sleep(pause_s))
        assert sent == received


def wires(tunnel: TunnelBed, captured: list[bytes], client: str = CLIENT) -> tuple[Wire, Wire]:
    """What went up to the server, and what came down."""
    return (
        Wire(captured, source=client, destination=SERVER, port=PORT),
        Wire(captured, source=SERVER, destination=client, port=PORT),
    )


def test_a_transfer_is_intact_both_ways_while_the_keys_change(tunnel: TunnelBed) -> None:
    log = tunnel.client_process.log
    with tunnel.connection() as (near, far):
        transfer_both_ways(near, far, TRANSFER_MIB, pause_s=2 * REKEY_INTERVAL_S / TRANSFER_MIB)
    with tunnel.connection(address=tunnel.server_in_tunnel_v6) as (near, far):
        transfer_both_ways(near, far, mib=2)
    assert "session ended" not in tunnel.client_process.log.removeprefix(log)


@OVER_UDP
def test_super_packets_cross_the_wire_in_frames_of_many_datagrams(tunnel: TunnelBed) -> None:
    with tunnel.captured_frames() as first, tunnel.connection() as (near, far):
        transfer_both_ways(near, far, mib=1)
    time.sleep(REKEY_INTERVAL_S)
    with tunnel.captured_frames() as later, tunnel.connection() as (near, far):
        transfer_both_ways(near, far, mib=1)
    up, down = wires(tunnel, first)
    assert up.longest_frame > 8
    assert len(up.chunks) > 3 * len(up.frames)
    assert {chunk.route_id for chunk in up.chunks}.isdisjoint(each[:8] for each in up.ordinary)
    assert len({chunk.route_id for chunk in up.chunks + down.chunks}) == 1
    up_later, _ = wires(tunnel, later)
    assert max(chunk.epoch for chunk in up_later.chunks) > min(chunk.epoch for chunk in up.chunks)


@OVER_UDP
def test_the_download_crosses_the_wire_in_frames_that_fit_the_path(tunnel: TunnelBed) -> None:
    with tunnel.connection() as (near, far), tunnel.captured_frames(tunnel.server_side_cable) as captured:
        sent, received = transfer(far, near, mib=1)
    assert sent == received
    _, down = wires(tunnel, captured)
    assert down.fragments == 0
    assert down.longest_frame > 8
    assert len(down.chunks) > 3 * len(down.frames)


@OVER_TCP
def test_super_packets_cross_a_stream_in_frames_longer_than_any_plain_one(tunnel: TunnelBed) -> None:
    with tunnel.captured_tcp(SLOT_DEFAULTS[TCP].port) as payloads, tunnel.connection() as (near, far):
        transfer_both_ways(near, far, mib=1)
    bodies, _ = split_frames(b"".join(payloads[:50]), LARGEST_AGGREGATED_BODY_BYTES)
    assert max(map(len, bodies)) > 4 * LARGEST_BODY_BYTES
    assert {int.from_bytes(body[:2]) for body in bodies} < set(range(1000))  # the epoch: they are in step


def test_a_plain_client_and_an_aggregated_one_use_one_server_at_once(
    transport: TransportProtocol, tunnel: TunnelBed, neighbour: Namespace
) -> None:
    with (
        tunnel.connection() as aggregated,
        tunnel.connection(source=neighbour) as plain,
        tunnel.captured_frames(tunnel.server_side_cable) as captured,
        ThreadPoolExecutor() as pool,
    ):
        transfers = [pool.submit(transfer_both_ways, *ends, mib=4) for ends in (aggregated, plain)]
        for each in transfers:
            each.result()
    if transport is UDP:
        assert wires(tunnel, captured)[0].chunks
        for direction in wires(tunnel, captured, NEIGHBOUR):
            assert direction.ordinary
            assert not direction.chunks


def test_a_client_that_could_speaks_plainly_to_a_server_that_must_not(
    transport: TransportProtocol, tunnel: TunnelBed
) -> None:
    file = tunnel.folders.server / "server_configuration.json"
    tunnel.server_process.stop()
    tunnel.client_process.stop()
    set_aggregation(file, wanted=False)
    try:
        tunnel.bring_up()
        with tunnel.captured_frames() as captured, tunnel.connection() as (near, far):
            transfer_both_ways(near, far, mib=2)
    finally:
        tunnel.server_process.stop()
        tunnel.client_process.stop()
        set_aggregation(file, wanted=True)
    if transport is UDP:
        for direction in wires(tunnel, captured):
            assert direction.ordinary
            assert not direction.chunks


@OVER_UDP
def test_the_frames_shrink_when_datagrams_get_lost_and_grow_again(folders: Folders, tmp_path: Path) -> None:
    with opened_tunnel_bed(UDP, folders, tmp_path) as bed:
        for namespace, cable in (
            (bed.client, bed.client_cable),
            (bed.internet, bed.internet_cable),
            (bed.internet, bed.server_side_cable),
            (bed.server, bed.server_cable),
        ):
            # Datagrams cross the cables one by one, so that one can get lost.
            namespace.run("ip", "link", "set", cable, "gso_max_segs", "1")
        bed.internet.run(
            "nft", "add table inet bad; add chain inet bad path { type filter hook forward priority 0; }"
        )
        bed.bring_up()
        assert eventually(lambda: min(longest_frames(bed)) > LARGE, PATIENCE_S)
        bed.internet.run("nft", "add rule inet bad path meta l4proto udp numgen random mod 100 < 1 drop")
        with bed.connection() as (near, far):
            transfer_both_ways(near, far, LOSSY_MIB)
        assert eventually(
            lambda: 0 < min(longest_frames(bed)) <= max(longest_frames(bed)) <= SMALL, PATIENCE_S
        )
        bed.internet.run("nft", "flush chain inet bad path")
        assert eventually(lambda: min(longest_frames(bed)) > LARGE, PATIENCE_S)


def test_a_host_that_loses_all_that_it_takes_apart_sends_one_by_one(tmp_path: Path) -> None:
    with opened_tunnel_bed(UDP, make_folders(UDP, tmp_path), tmp_path) as bed:
        bed.bring_up()
        # Runs cross the cables whole, in one piece that is larger than any datagram.
        bed.internet.run(
            "nft",
            "add table inet bad; add chain inet bad path { type filter hook forward priority 0; };"
            "add rule inet bad path meta l4proto udp meta length > 1600 drop",
        )
        # Small packets get through, and show that others do not.
        with bed.client.start("ping", "-i", "0.01", "-q", bed.server_in_tunnel) as small:
            try:
                assert eventually(lambda: gives_up_runs(bed, bed.client_process), 2 * PATIENCE_S)
                assert eventually(lambda: gives_up_runs(bed, bed.server_process), 2 * PATIENCE_S)
            finally:
                small.kill()
        with bed.connection() as (near, far):
            transfer_both_ways(near, far, TRANSFER_MIB)


def gives_up_runs(tunnel: TunnelBed, process: Tungo) -> bool:
    """Whether it has done so, after some more of them in both directions."""
    send_trains(tunnel.client, tunnel.server_in_tunnel, FEW)
    send_trains(tunnel.server, address_of(tunnel.client, SLOT_DEFAULTS[UDP].client_interface), FEW)
    return "offload=UdpSegmentation" in process.log


def longest_frames(tunnel: TunnelBed) -> tuple[int, int]:
    """The datagrams of the largest frames up and down, while both ends have enough to send to fill any."""
    with tunnel.captured_frames() as captured:
        send_trains(tunnel.client, tunnel.server_in_tunnel)
        send_trains(tunnel.server, address_of(tunnel.client, SLOT_DEFAULTS[UDP].client_interface))
        assert eventually(lambda: tunnel.answers(tunnel.server_in_tunnel), PATIENCE_S)
    up, down = wires(tunnel, captured)
    return up.longest_frame, down.longest_frame


def address_of(namespace: Namespace, interface: str) -> str:
    """Its IPv4 address."""
    shown: list[dict[str, list[dict[str, str]]]]
    shown = json.loads(namespace.run("ip", "-j", "-4", "addr", "show", "dev", interface))
    return shown[0]["addr_info"][0]["local"]


def send_trains(source: Namespace, destination: str, count: int = PROBES) -> None:
    """Datagrams to a port of that host that nobody listens on, by the dozen as a program hands them over."""

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, PROBE_SEGMENT_BYTES)
            for _ in range(count):
                sender.sendto(bytes(PROBE_SEGMENTS * PROBE_SEGMENT_BYTES), (destination, 9))

    source.call(send)


@OVER_UDP
@pytest.mark.parametrize("mtu_bytes", [1280, 1500])
def test_ipv6_is_carried_at_the_smallest_and_the_largest_mtu(
    folders: Folders, mtu_bytes: int, tmp_path: Path
) -> None:
    def set_mtu(document: dict[str, dict[str, int]]) -> None:
        document["UDPSettings"]["MTU"] = mtu_bytes

    copies = replace(folders, server=tmp_path / "server", client=tmp_path / "client")
    shutil.copytree(folders.server, copies.server)
    shutil.copytree(folders.client, copies.client)
    edit_json(copies.server / "server_configuration.json", set_mtu)
    edit_json(copies.client / "client_configuration.json", set_mtu)
    with opened_tunnel_bed(UDP, copies, tmp_path) as bed:
        bed.bring_up()
        with (
            bed.connection(address=bed.server_in_tunnel_v6) as (near, far),
            bed.captured_frames() as captured,
        ):
            transfer_both_ways(near, far, mib=2)
        up, down = wires(bed, captured)
        if mtu_bytes == LARGEST_MTU_BYTES:
            # A cable of 1500 takes no datagram around a packet of 1500 in one piece, here as without frames.
            assert up.fragments > 0 < down.fragments
        else:
            assert up.fragments == down.fragments == 0
            assert up.largest_datagram <= mtu_bytes + DATAGRAM_OVERHEAD_BYTES
            assert down.largest_datagram <= mtu_bytes + DATAGRAM_OVERHEAD_BYTES
            assert min(up.longest_frame, down.longest_frame) > 8
