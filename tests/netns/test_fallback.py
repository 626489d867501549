"""A client whose better transports are blocked uses the next one, returns when it may, and leaks nothing."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.profile import TransportProtocol
from tests.netns.tungo_program import eventually
from tests.netns.tunnel_bed import (
    BEYOND,
    CLIENT,
    SERVER,
    TunnelBed,
    edit_json,
    make_folders,
    opened_tunnel_bed,
)

pytestmark = pytest.mark.netns

UDP, TCP, WSS = TransportProtocol.UDP, TransportProtocol.TCP, TransportProtocol.WSS
SERVER_OVER: Final = {UDP: "10.0.1.1", TCP: "10.0.0.1", WSS: "10.0.2.1"}

# An attempt at a blocked transport takes 5 s; a blocked session is noticed after 15 s.
FALLBACK_S: Final = 20.0
LOSS_S: Final = 45.0
RETURN_S: Final = 40.0


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[TunnelBed]:
    folders = make_folders(WSS, tmp_path)

    def serve_all(document: dict[str, bool]) -> None:
        document["EnableUDP"] = document["EnableTCP"] = True

    def fall_back(document: dict[str, object]) -> None:
        document["Protocol"] = "UDP"
        document["FallbackProtocols"] = ["TCP", "WSS"]
        document["FallbackRetrySeconds"] = 1

    edit_json(folders.server / "server_configuration.json", serve_all)
    edit_json(folders.client / "client_configuration.json", fall_back)
    with opened_tunnel_bed(WSS, folders, tmp_path) as made:
        made.internet.run(
            "nft", "add table inet block; add chain inet block path { type filter hook forward priority 0; }"
        )
        made.start_server()
        yield made


def block(bed: TunnelBed, *protocols: TransportProtocol) -> None:
    """Let the network between client and server drop these transports, and no others."""
    rules = ["flush chain inet block path"]
    for protocol in protocols:
        kind, port = ("udp", 9090) if protocol is UDP else ("tcp", SLOT_DEFAULTS[protocol.slot].port)
        rules.append(f"add rule inet block path ip daddr {SERVER} {kind} dport {port} drop")
    bed.internet.run("nft", ";".join(rules))


class Pinging:
    """Pings to a host beyond the server all the time, from the client's host."""

    def __init__(self, bed: TunnelBed) -> None:
        self._bed = bed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ping)
        self._thread.start()

    def __enter__(self) -> "Pinging":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _ping(self) -> None:
        inside = ["ip", "netns", "exec", self._bed.client.name, "ping", "-n", "-c1", "-W1", BEYOND]
        while not self._stopping.wait(0.1):
            subprocess.run(inside, capture_output=True, check=False, timeout=10)


def test_a_client_goes_down_its_list_and_up_again_and_nothing_is_seen_in_clear(bed: TunnelBed) -> None:
    block(bed, UDP)
    bed.start_client()
    assert eventually(lambda: bed.answers(SERVER_OVER[TCP]), FALLBACK_S), bed.client_process.log
    with bed.captured_frames() as frames, Pinging(bed):
        block(bed, UDP, TCP)
        bed.client_process.await_log("protocol=WSS", LOSS_S)
        assert eventually(lambda: bed.answers(SERVER_OVER[WSS]), FALLBACK_S), bed.client_process.log
        block(bed)
        # The server answers for all its addresses over any transport: only the log tells which it is.
        bed.client_process.await_log('msg="a better transport works again" protocol=UDP', RETURN_S)
        assert eventually(lambda: bed.answers(SERVER_OVER[UDP]), FALLBACK_S), bed.client_process.log
    addresses = bytes(map(int, CLIENT.split("."))) + bytes(map(int, BEYOND.split(".")))
    assert frames
    assert not any(addresses in frame for frame in frames)
