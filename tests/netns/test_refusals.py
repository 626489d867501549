"""The whole program over UDP when ICMP says that the server cannot be reached: a hint and no more."""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

import pytest

from tests.netns.packets import internet_checksum
from tests.netns.tungo_program import START_S, eventually
from tests.netns.tunnel_bed import (
    CLIENT,
    MIB,
    RECONNECT_S,
    SERVER,
    TunnelBed,
    transfer,
)

pytestmark = pytest.mark.netns

PORT: Final = 9090
DISCARD: Final = 9
TRANSFER_MIB: Final = 32

# The question is given two seconds, and may be put off by three if the server's last words cross it.
NOTICED_S: Final = 8.0

# Several silences of three seconds, each of which ends with a ping.
IDLE_S: Final = 8.0

REASON: Final = "the server's host says that nobody listens on its port"


@pytest.fixture
def tunnel(fresh_bed: TunnelBed) -> TunnelBed:
    """Nobody else's: these tests look at the whole log of a session."""
    fresh_bed.bring_up()
    return fresh_bed


def await_megabyte(tunnel: TunnelBed) -> None:
    """Return when the client's cable has carried so much from now on."""

    def sent_bytes() -> int:
        return int(tunnel.client.run("cat", f"/sys/class/net/{tunnel.client_cable}/statistics/tx_bytes"))

    until = sent_bytes() + MIB
    assert eventually(lambda: sent_bytes() > until, START_S)


@contextlib.contextmanager
def upload_of_datagrams(tunnel: TunnelBed) -> Iterator[None]:
    """Thousands of datagrams a second from the client into the tunnel, whether or not anybody takes them."""
    is_over = threading.Event()

    def send() -> None:
        payload = os.urandom(1200)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            while not is_over.wait(0.001):
                for _ in range(8):
                    source.sendto(payload, (tunnel.server_in_tunnel, DISCARD))

    sending = threading.Thread(target=tunnel.client.call, args=(send,))
    sending.start()
    try:
        await_megabyte(tunnel)
        yield
    finally:
        is_over.set()
        sending.join()


@contextlib.contextmanager
def upload_over_tcp(tunnel: TunnelBed) -> Iterator[None]:
    """A connection that sends as much as it can, and nothing while it waits for acknowledgements."""
    with tunnel.connection() as (near, far):

        def send() -> None:
            block = os.urandom(1 << 16)
            with contextlib.suppress(OSError):
                while True:
                    near.sendall(block)

        def discard() -> None:
            buffer = bytearray(MIB)
            with contextlib.suppress(OSError):
                while far.recv_into(buffer):
                    pass

        threads = [threading.Thread(target=send), threading.Thread(target=discard)]
        for thread in threads:
            thread.start()
        try:
            await_megabyte(tunnel)
            yield
        finally:
            for end in (near, far):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def nothing_sent(_tunnel: TunnelBed) -> Iterator[None]:
    """Nothing but pings."""
    yield


@pytest.mark.parametrize("uplink", [upload_of_datagrams, upload_over_tcp, nothing_sent])
def test_a_killed_server_is_noticed_within_seconds_and_found_again_when_it_is_back(
    tunnel: TunnelBed, uplink: Callable[[TunnelBed], AbstractContextManager[None]]
) -> None:
    client = tunnel.client_process
    with uplink(tunnel):
        tunnel.server_process.kill()
        client.await_log("session ended, reconnecting", NOTICED_S)
    [ended] = [line for line in client.log.splitlines() if "session ended" in line]
    assert REASON in ended
    tunnel.start_server()
    tunnel.await_answer(RECONNECT_S)
    assert client.log.count("session ended") == 1


@pytest.mark.parametrize("message", ["port-unreachable", "admin-prohibited"])
def test_a_transfer_outlives_refusals_of_some_of_its_datagrams(tunnel: TunnelBed, message: str) -> None:
    for setting in ("icmp_ratelimit=0", "icmp_msgs_per_sec=10000"):
        tunnel.internet.run("sysctl", "-qe", "-w", f"net.ipv4.{setting}")

    def refuse_for_a_while(mib: int) -> None:
        if mib == TRANSFER_MIB // 4:
            tunnel.internet.run(
                "nft",
                "add table ip liar;"
                "add chain ip liar there { type filter hook forward priority 0; };"
                f"add rule ip liar there ip daddr {SERVER} udp dport {PORT} numgen inc mod 16 == 0 "
                f"counter reject with icmp {message}",
            )
        if mib == TRANSFER_MIB // 2:
            listed = tunnel.internet.run("nft", "list", "table", "ip", "liar")
            refusals.append(int(re.findall(r"packets (\d+)", listed)[0]))
            tunnel.internet.run("nft", "delete", "table", "ip", "liar")

    refusals: list[int] = []
    with tunnel.connection() as (near, far):
        sent, received = transfer(near, far, TRANSFER_MIB, between=refuse_for_a_while)
    assert sent == received
    assert refusals[0] > 10
    assert "session ended" not in tunnel.client_process.log


def test_an_idle_session_outlives_a_flood_of_forged_refusals(tunnel: TunnelBed) -> None:
    with tunnel.captured_frames() as frames:
        assert tunnel.answers(tunnel.server_in_tunnel)
    forged = forged_refusal(next(frame[14:] for frame in frames if is_to_server(frame[14:])))
    before = refusals_received(tunnel)
    is_over = threading.Event()

    def forge() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as stranger:
            while not is_over.wait(0.001):
                for _ in range(5):
                    stranger.sendto(forged, (CLIENT, 0))

    forging = threading.Thread(target=tunnel.internet.call, args=(forge,))
    forging.start()
    try:
        assert not eventually(lambda: "session ended" in tunnel.client_process.log, IDLE_S)
        assert tunnel.answers(tunnel.server_in_tunnel)
    finally:
        is_over.set()
        forging.join()
    assert refusals_received(tunnel) - before > 10_000
    assert "session ended" not in tunnel.client_process.log


def is_to_server(packet: bytes) -> bool:
    """Whether it is a datagram of the tunnel on its way to the server."""
    return (
        packet[:1] == b"\x45"
        and packet[9] == socket.IPPROTO_UDP
        and packet[16:20] == socket.inet_aton(SERVER)
        and packet[22:24] == PORT.to_bytes(2)
    )


def forged_refusal(packet: bytes) -> bytes:
    """An ICMP message: the port that ``packet``, of which it quotes 28 bytes, was for is unreachable."""
    unsummed = bytes((3, 3, 0, 0, 0, 0, 0, 0)) + packet[:28]
    return unsummed[:2] + internet_checksum(unsummed).to_bytes(2) + unsummed[4:]


def refusals_received(tunnel: TunnelBed) -> int:
    """How many messages of that kind have reached the client's host."""
    names, values = re.findall(r"^Icmp: (.*)$", tunnel.client.run("cat", "/proc/net/snmp"), re.MULTILINE)
    return int(dict(zip(names.split(), values.split(), strict=True))["InDestUnreachs"])
