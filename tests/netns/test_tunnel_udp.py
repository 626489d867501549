"""The whole program over UDP: what only datagrams have, roaming and strangers at the one port of all."""

import contextlib
import random
import socket
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import pytest

from domain.noise.client import ClientHandshake
from domain.noise.keys import KeyPair
from domain.noise.mac import MAC_BYTES
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.reading import read_client
from tests.netns.tungo_program import eventually
from tests.netns.tunnel_bed import (
    BEYOND,
    CLIENT,
    CLIENT_AFTER_MOVE,
    MIB,
    SERVER,
    TunnelBed,
    transfer,
)

pytestmark = pytest.mark.netns

PORT: Final = 9090
ENDPOINT: Final = (SERVER, PORT)
TRANSLATED: Final = "198.51.100.77"  # in the server's own network, so that it needs no route
TRANSFER_MIB: Final = 32
FLOOD_PER_MIB: Final = 625  # 20 000 in all
STRANGERS: Final = 32
ALLOWED_GROWTH_BYTES: Final = 2 * MIB  # keeping those that belong to no session would take 3 MiB

PRIMITIVES: Final = PycaPrimitives()


@pytest.mark.parametrize("direction", ["to the server", "to the client"])
def test_a_transfer_arrives_intact_while_a_stranger_floods_the_server(
    tunnel: TunnelBed, direction: str
) -> None:
    with tunnel.captured_datagrams(PORT) as captured, tunnel.connection() as (near, far):
        sent, received = transfer(near, far, mib=1)
        assert sent == received
    flood = hostile_datagrams(captured, message_1_for(tunnel.folders.unknown))
    log, resident_bytes = tunnel.server_process.log, tunnel.server_process.resident_bytes()

    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(stranger) for stranger in tunnel.strangers(STRANGERS)]
        near, far = stack.enter_context(tunnel.connection())
        source, sink = (near, far) if direction == "to the server" else (far, near)

        def send_share(_mib: int) -> None:
            for stranger, datagram in zip(cycle(strangers), islice(flood, FLOOD_PER_MIB), strict=False):
                stranger.sendto(datagram, ENDPOINT)

        sent, received = transfer(source, sink, TRANSFER_MIB, between=send_share)
        assert sent == received
        assert tunnel.answers(tunnel.server_in_tunnel)
        assert not any(has_answer(stranger) for stranger in strangers)
    assert tunnel.server_process.resident_bytes() - resident_bytes <= ALLOWED_GROWTH_BYTES
    assert tunnel.server_process.log == log


@pytest.mark.parametrize("who", ["unknown", "disabled"])
def test_a_peer_without_admission_meets_silence(tunnel: TunnelBed, who: str) -> None:
    folder = {"unknown": tunnel.folders.unknown, "disabled": tunnel.folders.disabled}[who]
    log = tunnel.server_process.log
    refused, admitted = tunnel.strangers(2)
    with refused, admitted:
        admitted.settimeout(2)
        for _ in range(20):
            refused.sendto(message_1_for(folder), ENDPOINT)
            # Sent later and answered: the first one has been dealt with.
            admitted.sendto(message_1_for(tunnel.folders.other), ENDPOINT)
            assert admitted.recv(2048)
        assert not has_answer(refused)
    assert tunnel.server_process.log == log


def test_a_replayed_first_message_meets_silence_and_evicts_nobody(fresh_bed: TunnelBed) -> None:
    with fresh_bed.captured_datagrams(PORT) as captured:
        fresh_bed.bring_up()
    message_1 = captured[0]
    log = fresh_bed.server_process.log
    [stranger] = fresh_bed.strangers(1)
    with stranger:
        for _ in range(50):
            stranger.sendto(message_1, ENDPOINT)
        assert fresh_bed.answers(BEYOND)
        assert not eventually(lambda: has_answer(stranger), within_s=0.5)
    assert fresh_bed.server_process.log == log


def test_a_transfer_outlives_a_change_of_the_clients_own_address(fresh_bed: TunnelBed) -> None:
    fresh_bed.bring_up()

    def move_in_the_middle(mib: int) -> None:
        if mib == TRANSFER_MIB // 2:
            fresh_bed.move_client(CLIENT, CLIENT_AFTER_MOVE)

    with fresh_bed.connection() as (near, far):
        sent, received = transfer(near, far, TRANSFER_MIB, between=move_in_the_middle)
    assert sent == received
    assert f"endpoint={CLIENT_AFTER_MOVE}:" in fresh_bed.server_process.log


@pytest.mark.parametrize("direction", ["to the server", "to the client"])
def test_a_transfer_outlives_a_change_of_the_address_that_the_server_sees(
    fresh_bed: TunnelBed, direction: str
) -> None:
    fresh_bed.bring_up()

    def move_in_the_middle(mib: int) -> None:
        if mib == TRANSFER_MIB // 2:
            fresh_bed.translate_client(TRANSLATED)

    with fresh_bed.connection() as (near, far):
        source, sink = (near, far) if direction == "to the server" else (far, near)
        sent, received = transfer(source, sink, TRANSFER_MIB, between=move_in_the_middle)
    assert sent == received
    [moved] = [line for line in fresh_bed.server_process.log.splitlines() if 'msg="client moved"' in line]
    assert f"endpoint={TRANSLATED}:" in moved
    assert "session ended" not in fresh_bed.client_process.log


def message_1_for(client_folder: Path) -> bytes:
    """A valid first message of the client whose configuration is there, never the same twice."""
    settings = read_client(client_folder / "client_configuration.json", PRIMITIVES.public_key)
    keys = KeyPair(private=settings.private_key, public=settings.public_key)
    machine = ClientHandshake(PRIMITIVES, settings.server_public_key, keys)
    return machine.start(0.0, SystemEntropy().random_bytes)


def hostile_datagrams(captured: list[bytes], message_1: bytes) -> Iterator[bytes]:
    """What a stranger can send without a key, for ever: noise, and what it has seen, whole or mutilated.

    The captured datagrams have arrived already; sent again, they come in any order.
    """
    rng = random.Random(2)
    mac_1 = len(message_1) - 2 * MAC_BYTES
    while True:
        seen = rng.choice(captured)
        cut = rng.random()
        bit = 1 << rng.randrange(8)
        position = rng.randrange(len(seen))
        yield rng.randbytes(rng.randrange(1500))
        yield seen[:8] + rng.randbytes(rng.randrange(1500))
        yield seen[: int(len(seen) * cut)]
        yield seen
        yield seen[:position] + bytes([seen[position] ^ bit]) + seen[position + 1 :]
        yield seen + rng.randbytes(rng.randrange(1, 9000))
        yield bytes([rng.choice([0, 2, 255])]) + message_1[1:]
        yield message_1[:mac_1] + bytes([message_1[mac_1] ^ bit]) + message_1[mac_1 + 1 :]
        yield message_1[: int(len(message_1) * cut)]


def has_answer(stranger: socket.socket) -> bool:
    """Whether a datagram waits for this non-blocking socket; takes it off."""
    try:
        return bool(stranger.recv(2048))
    except BlockingIOError:
        return False
