"""The whole program over every transport: real processes, a real TUN device, real nft, and sudden deaths."""

import json
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest

from domain.session.framing import LENGTH_BYTES
from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.profile import TransportProtocol
from tests.netns.bed import Namespace
from tests.netns.tungo_program import eventually
from tests.netns.tunnel_bed import (
    BEYOND,
    BEYOND_V6,
    CLIENT,
    MIB,
    RECONNECT_S,
    SERVER,
    SERVER_GATEWAY,
    Folders,
    TunnelBed,
    edit_json,
    over,
    set_rekey_interval,
    transfer,
)

pytestmark = pytest.mark.netns

TRANSFER_MIB: Final = 16
REKEY_INTERVAL_S: Final = 1
REKEYS: Final = 4
EFFECT_S: Final = 3.0

STREAMS: Final = (TransportProtocol.TCP, TransportProtocol.WS, TransportProtocol.WSS)

UPGRADE: Final = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

# What strangers say first, on whatever transport they find; a client says none of it.
GREETINGS: Final = [
    b"",
    b"\x00",
    b"\x00\x00",
    b"\x05\xef" + bytes(1519),
    b"\xff\xff" + bytes(100),
    b"\x00\x01\x00",
    b"\x00\x0f" + bytes(15),
    b"\x00\x10" + bytes(16),
    b"\x00\x11" + bytes(17),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    UPGRADE.replace(b"Version: 13", b"Version: 12"),
    UPGRADE.replace(b"Host: x", b"Host: x\r\nOrigin: https://elsewhere.example"),
    UPGRADE + b"\x82\x02no",  # not masked
    UPGRADE + b"\xc2\x82\0\0\0\0no",  # compressed, which was not agreed
    UPGRADE + b"\x81\x82\0\0\0\0no",  # text, and then nothing more
    UPGRADE + b"\x89\xff" + (1 << 16).to_bytes(8) + bytes(100),  # a ping of 64 KiB
    UPGRADE + b"\x82\x84\0\0\0\0\0\x02no",  # a frame that is no handshake message
    b"\x16\x03\x01\x00\x05hello",
]

Document = dict[str, list[dict[str, object]]]


transport = over(*TransportProtocol)


@pytest.fixture(scope="module")
def folders(folders: Folders) -> Folders:
    """Keys change often."""
    set_rekey_interval(folders.client, REKEY_INTERVAL_S)
    return folders


def test_the_server_answers_over_ipv4_and_ipv6(tunnel: TunnelBed) -> None:
    assert tunnel.answers(tunnel.server_in_tunnel)
    assert tunnel.answers(tunnel.server_in_tunnel_v6)


def test_a_host_beyond_the_server_sees_the_address_of_the_server(tunnel: TunnelBed) -> None:
    assert tunnel.answers(BEYOND)
    assert tunnel.answers(BEYOND_V6)
    assert tunnel.source_seen_beyond() == SERVER


def test_the_client_reconnects_to_a_killed_and_restarted_server(tunnel: TunnelBed) -> None:
    tunnel.server_process.kill()
    # The client notices by its next datagram, which nobody listens for any more.
    assert not tunnel.answers(tunnel.server_in_tunnel)
    tunnel.client_process.await_log("session ended, reconnecting")
    restarted = tunnel.start_server()
    tunnel.await_answer(RECONNECT_S)
    assert tunnel.answers(BEYOND)
    assert "level=ERROR" not in restarted.log
    assert tunnel.server.run("nft", "list", "tables").count("tungo_server") == 1
    assert tunnel.server.run("ip", "-o", "link").count(tunnel.server_interface) == 1


def test_a_killed_client_leaves_its_host_connected_and_can_start_again(
    transport: TransportProtocol, tunnel: TunnelBed
) -> None:
    assert tunnel.source_seen_beyond() == SERVER
    tunnel.client_process.kill()
    assert tunnel.source_seen_beyond() == CLIENT
    log = tunnel.server_process.log
    tunnel.start_client()
    tunnel.await_answer(RECONNECT_S)
    assert tunnel.source_seen_beyond() == SERVER
    [connected] = [line for line in new_lines(tunnel, log) if 'msg="client connected"' in line]
    # The kernel closes a connection when its process dies; only of datagrams does the server hear nothing.
    assert connected.endswith(f" replaced={int(transport is TransportProtocol.UDP)}")


@pytest.mark.parametrize("first", ["server", "client"])
def test_sigterm_ends_both_ends_and_leaves_nothing_behind(fresh_bed: TunnelBed, first: str) -> None:
    before = fresh_bed.server.snapshot(), fresh_bed.client.snapshot()
    fresh_bed.bring_up()
    assert (fresh_bed.server.snapshot(), fresh_bed.client.snapshot()) != before
    ends = [fresh_bed.server_process, fresh_bed.client_process]
    for end in ends if first == "server" else reversed(ends):
        status, seconds = end.stop()
        assert status == 0, end.log
        assert seconds < 2
    assert (fresh_bed.server.snapshot(), fresh_bed.client.snapshot()) == before


@pytest.mark.parametrize("direction", ["to the server", "to the client"])
def test_a_transfer_arrives_intact_while_the_keys_change(tunnel: TunnelBed, direction: str) -> None:
    log = tunnel.client_process.log
    with tunnel.connection() as (near, far):
        source, sink = (near, far) if direction == "to the server" else (far, near)
        pause_s = REKEYS * REKEY_INTERVAL_S / TRANSFER_MIB
        sent, received = transfer(source, sink, TRANSFER_MIB, between=lambda _mib: time.sleep(pause_s))
    assert sent == received
    assert "session ended" not in tunnel.client_process.log.removeprefix(log)


@pytest.mark.parametrize("transport", [TransportProtocol.TCP], indirect=True)
def test_the_epochs_on_a_tcp_connection_go_up_one_by_one(
    transport: TransportProtocol, tunnel: TunnelBed
) -> None:
    with tunnel.captured_tcp(SLOT_DEFAULTS[transport].port) as payloads:
        for _ in range(int(REKEYS * REKEY_INTERVAL_S / 0.2)):
            assert tunnel.answers(tunnel.server_in_tunnel)
            time.sleep(0.2)
    frames = [payload for payload in payloads if int.from_bytes(payload[:2]) + LENGTH_BYTES == len(payload)]
    epochs = [int.from_bytes(frame[2:4]) for frame in frames]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) >= REKEYS - 1


def test_a_revoked_client_is_cut_off_and_let_in_again(tunnel: TunnelBed) -> None:
    folder = tunnel.folders.client
    settings = json.loads((folder / "client_configuration.json").read_text("utf-8"))

    def enabled(value: bool) -> Callable[[Document], None]:
        def change(document: Document) -> None:
            for peer in document["AllowedPeers"]:
                if peer["PublicKey"] == settings["ClientPublicKey"]:
                    peer["Enabled"] = value

        return change

    file = tunnel.folders.server / "server_configuration.json"
    edit_json(file, enabled(value=False))
    tunnel.server_process.await_log('msg="session revoked"', EFFECT_S)
    assert not tunnel.answers(tunnel.server_in_tunnel)
    edit_json(file, enabled(value=True))
    tunnel.await_answer(15.0 + RECONNECT_S)


@pytest.mark.parametrize("transport", STREAMS, indirect=True, ids=lambda protocol: protocol.value)
def test_strangers_on_a_stream_are_closed_and_the_tunnel_does_not_notice(
    transport: TransportProtocol, tunnel: TunnelBed
) -> None:
    log = tunnel.server_process.log
    descriptors = tunnel.server_process.open_descriptors()
    with tunnel.connection() as (near, far):
        slow, *strangers = tunnel.tcp_strangers(1 + len(GREETINGS), SLOT_DEFAULTS[transport.slot].port)
        try:
            for stranger, greeting in zip(strangers, GREETINGS, strict=True):
                stranger.sendall(greeting)
            assert trickle(slow, UPGRADE) < len(UPGRADE)
            for stranger in strangers:
                stranger.settimeout(12)
                drain(stranger)
        finally:
            for stranger in (slow, *strangers):
                stranger.close()
        sent, received = transfer(near, far, mib=2)
    assert sent == received
    told = [
        line
        for line in tunnel.server_process.log.removeprefix(log).splitlines()
        if "connection without a session ended" in line
    ]
    assert len(told) == 1
    assert f"source={SERVER_GATEWAY} " in told[0] + " "
    assert "reason=" in told[0]
    assert eventually(lambda: tunnel.server_process.open_descriptors() <= descriptors, 5.0)


@pytest.mark.parametrize("transport", STREAMS, indirect=True, ids=lambda protocol: protocol.value)
def test_a_client_that_stops_reading_neither_disturbs_another_nor_fills_the_server(
    tunnel: TunnelBed, neighbour: Namespace
) -> None:
    with tunnel.connection() as (near, far):
        far.settimeout(0.0)
        tunnel.client_process.send_signal(signal.SIGSTOP)
        try:
            resident_bytes = tunnel.server_process.resident_bytes()
            with suppress(BlockingIOError):
                while True:
                    far.send(bytes(MIB))
            for _ in range(5):
                assert neighbour.reaches(tunnel.server_in_tunnel)
            assert tunnel.server_process.resident_bytes() - resident_bytes < 8 * MIB
        finally:
            tunnel.client_process.send_signal(signal.SIGCONT)
        near.close()
    tunnel.await_answer(RECONNECT_S)


def trickle(stranger: socket.socket, data: bytes) -> int:
    """Send a byte every tenth of a second until the server has enough of it; returns how many it took."""
    stranger.settimeout(0.1)
    for sent in range(len(data)):
        with suppress(TimeoutError, OSError):
            stranger.sendall(data[sent : sent + 1])
        try:
            if not stranger.recv(4096):
                return sent
        except TimeoutError:
            continue
        except OSError:
            return sent
    return len(data)


def drain(stranger: socket.socket) -> None:
    """Read until the server has closed the connection. Raises TimeoutError if it does not."""
    try:
        while stranger.recv(4096):
            pass
    except ConnectionResetError:
        pass  # closed with something unread


def new_lines(tunnel: TunnelBed, log: str) -> list[str]:
    """What the server has logged since its log was ``log``."""
    return tunnel.server_process.log.removeprefix(log).splitlines()
