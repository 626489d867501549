"""What clients cost a server that do nothing but stay connected, over each of the streams.

Run, as root::

    python -m benchmarks.idle_clients [--clients 500] [--seconds 60] [--output FILE]

A real server process stands in a network namespace of its own. The clients are in this process: real
connections, handshakes and pings every three seconds, as the program itself sends them. Prints a table and
writes the numbers as JSON.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from application.client.handshake import NoiseHandshake
from application.network.connection.handshake import Established
from application.network.routing.counters import TunnelCounters
from benchmarks.handshake_flood import cpu_seconds, pid_inside
from domain.addressing.endpoint import Endpoint
from domain.noise.client import ClientHandshake, Delivery
from domain.noise.keys import KeyPair, Role
from domain.packets.service import PING
from domain.settings.defaults import default_server_profile
from domain.settings.offload import DEFAULT_OFFLOAD
from domain.settings.profile import ServerAddress, TlsSettings, TransportProtocol
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.text import TextEventLog
from infrastructure.pal.linux.clock import SystemClock
from infrastructure.pal.linux.limits import raise_descriptor_limit
from tests.adapters.runs import frames_from
from tests.infrastructure.network.tls.certificates import Authority
from tests.netns.bed import NetnsBed
from tests.netns.tungo_program import Tungo
from tungo.transports import dialer_of, session_crypto_of

STREAMS: Final = (TransportProtocol.TCP, TransportProtocol.WS, TransportProtocol.WSS)
PING_INTERVAL_S: Final = 3.0  # what a Go client sends; ours, which hears nothing, one a second until answered
DIALLED_AT_ONCE: Final = 20
SERVER: Final = "198.51.100.2"
MIB: Final = 1024 * 1024

_PRIMITIVES: Final = PycaPrimitives()
_SERVER_KEYS: Final = KeyPair.from_private(_PRIMITIVES, bytes([7]) * 32)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the server needs with all clients connected; ``cpu`` is a share of one core."""

    transport: str
    clients: int
    resident_mib: float
    growth_mib: float
    cpu: float


def keys_of(number: int) -> KeyPair:
    """The key pair of client ``number``."""
    # Hashed, because X25519 does not look at all bits of a private key.
    return KeyPair.from_private(_PRIMITIVES, hashlib.sha256(number.to_bytes(4)).digest())


def write_server_file(folder: Path, transport: TransportProtocol, clients: int, tls: dict[str, str]) -> None:
    """A configuration that serves ``transport`` alone and admits that many clients."""
    settings: dict[str, object] = {"IPv4Subnet": "10.64.0.0/16", "MTU": 1500}
    if tls:
        settings["TLS"] = tls
    document = {
        f"{transport.slot.value}Settings": settings,
        "X25519PublicKey": base64.b64encode(_SERVER_KEYS.public).decode(),
        "X25519PrivateKey": base64.b64encode(_SERVER_KEYS.private).decode(),
        "ClientCounter": clients,
        **{f"Enable{slot}": slot == transport.slot.value for slot in ("UDP", "TCP", "WS")},
        "AllowedPeers": [
            {
                "PublicKey": base64.b64encode(keys_of(number).public).decode(),
                "Enabled": True,
                "ClientID": number,
            }
            for number in range(1, clients + 1)
        ],
    }
    file = folder / "server_configuration.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(document), "utf-8")


async def connect_all(transport: TransportProtocol, clients: int, ca_file: str | None) -> list[Established]:
    """Sessions of all clients. Raises TransportError, HandshakeFailedError."""
    profile = replace(
        default_server_profile(transport.slot),
        protocol=transport,
        server=ServerAddress(ipv4=IPv4Address(SERVER)),
        tls=TlsSettings(ca_file=ca_file),
    )
    dialer = dialer_of(
        profile,
        offload=DEFAULT_OFFLOAD,
        aggregation=False,
        counters=TunnelCounters(),
        log=TextEventLog(),
    )
    places = asyncio.Semaphore(DIALLED_AT_ONCE)

    async def connect(number: int) -> Established:
        handshake = NoiseHandshake(
            machine=lambda: ClientHandshake(
                _PRIMITIVES, _SERVER_KEYS.public, keys_of(number), delivery=Delivery.STREAM
            ),
            crypto_for=session_crypto_of(_PRIMITIVES, Role.CLIENT, profile),
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        async with places, asyncio.timeout(30):
            path = await dialer.dial(Endpoint(SERVER, profile.port))
            return await handshake.establish(path)

    return list(await asyncio.gather(*(connect(number) for number in range(1, clients + 1))))


async def stay(established: Sequence[Established], seconds: float) -> None:
    """Ping over every session, spread over the interval, and read the answers."""
    end_s = time.monotonic() + seconds
    pause_s = PING_INTERVAL_S / len(established)
    while time.monotonic() < end_s:
        for session in established:
            session.transport.egress().send_batch(session.crypto.seal([PING]))
            for frame in frames_from(session.transport.ingress()):
                session.crypto.open([frame])
            await asyncio.sleep(pause_s)


def measure(transport: TransportProtocol, clients: int, seconds: float) -> Cost:
    """One server, and ``clients`` that stay connected to it for ``seconds``."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bed = stack.enter_context(NetnsBed())
        server_host, client_host = bed.namespace("server"), bed.namespace("clients")
        bed.join(server_host, [f"{SERVER}/24"], client_host, ["198.51.100.1/24"])
        ca_file, tls = None, {}
        if transport is TransportProtocol.WSS:
            authority = Authority.make(folder)
            certificate = authority.issue("server", [SERVER])
            ca_file = authority.ca_file
            tls = {"CertificateFile": certificate.certificate_file, "KeyFile": certificate.key_file}
        write_server_file(folder, transport, clients, tls)
        server = Tungo(server_host, "server", folder, folder / "server.log")
        stack.callback(server.kill)
        server.await_log("msg=listening")
        pid = pid_inside(server_host, b"tungo\0server")
        before = server.resident_bytes()

        async def scenario() -> Cost:
            established = await connect_all(transport, clients, ca_file)
            await stay(established, 2 * PING_INTERVAL_S)
            cpu_s, started_s = cpu_seconds(pid), time.monotonic()
            await stay(established, seconds)
            share = (cpu_seconds(pid) - cpu_s) / (time.monotonic() - started_s)
            resident = server.resident_bytes()
            for session in established:
                session.transport.close()
            return Cost(transport.value, clients, resident / MIB, (resident - before) / MIB, share)

        return client_host.call_async(scenario)


def main() -> None:
    """Measure every stream, print the table and write the numbers."""
    parser = argparse.ArgumentParser(prog="idle_clients")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    raise_descriptor_limit()
    costs = [measure(transport, arguments.clients, arguments.seconds) for transport in STREAMS]
    print("| transport | idle clients | server in all | of it for the clients | CPU |\n|---|---|---|---|---|")
    for cost in costs:
        print(
            f"| {cost.transport} | {cost.clients} | {cost.resident_mib:.0f} MiB | {cost.growth_mib:.1f} MiB "
            f"| {cost.cpu:.1%} of a core |"
        )
    arguments.output.write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
