"""What is measured: the bare cable, and this program over each transport, plain and aggregated."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, Protocol

from application.server.generate import new_key_pair
from application.server.issue import client_settings
from benchmarks.handshake_flood import pid_inside
from benchmarks.throughput.beds import StarBed
from domain.addressing.peers import Peer
from domain.addressing.tunnel import server_addresses
from domain.settings.client import ClientSettings
from domain.settings.defaults import default_server_settings
from domain.settings.profile import ServerAddress, TlsSettings, TransportProtocol
from domain.settings.server import ServerSettings
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.writing import client_json, server_json
from tests.infrastructure.network.tls.certificates import Authority
from tests.netns.bed import Namespace
from tests.netns.tungo_program import Tungo, eventually

# The first packets of a program on a busy machine.
PATIENCE_S: Final = 30.0
# Fifty that start at once would take so long for it that their handshakes time out.
STARTED_AT_ONCE: Final = 4

_PRIMITIVES: Final = PycaPrimitives()
_ENTROPY: Final = SystemEntropy()


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What runs, by process id, and how every client reaches the server through it: ``addresses[n]``.

    The bare cable has no processes.
    """

    addresses: tuple[str, ...]
    server_pid: int | None = None
    client_pids: tuple[int, ...] = ()


class Contender(Protocol):
    """One way to connect the clients of a bed with its server."""

    @property
    def name(self) -> str:
        """As in ``--only`` and in the tables."""
        ...

    def missing(self) -> str:
        """Which programs are not installed; empty if it can be measured here."""
        ...

    def open(self, bed: StarBed, folder: Path, at_end: ExitStack) -> Tunnel:
        """Start it; it need not carry packets yet. ``folder`` is for its files, ``at_end`` ends it.

        Raises AssertionError with what went wrong, OSError.
        """
        ...


class BareCable:
    """No tunnel: what the bed itself can do."""

    name: str = "raw"

    def missing(self) -> str:
        """Nothing is needed."""
        return ""

    def open(self, bed: StarBed, folder: Path, at_end: ExitStack) -> Tunnel:  # noqa: ARG002 - the port's
        """Nothing to start."""
        return Tunnel(tuple(bed.server_address(number) for number in range(len(bed.clients))))


class OwnTunnel:
    """This program with the settings that its ``server gen`` hands out."""

    def __init__(self, transport: TransportProtocol, *, aggregated: bool) -> None:
        self._transport = transport
        self._aggregated = aggregated
        self.name = f"{transport.value.lower()}-{'aggregated' if aggregated else 'plain'}"

    def missing(self) -> str:
        """This program is here."""
        return ""

    def open(self, bed: StarBed, folder: Path, at_end: ExitStack) -> Tunnel:
        """Start the server, then the clients, some at a time."""
        tls, ca_file = TlsSettings(), None
        if self._transport is TransportProtocol.WSS:
            authority = Authority.make(folder)
            names = [bed.server_address(number) for number in range(len(bed.clients))]
            certificate = authority.issue("server", names)
            ca_file = authority.ca_file
            tls = TlsSettings(certificate_file=certificate.certificate_file, key_file=certificate.key_file)
        settings, clients = self._settings(bed, tls, ca_file)
        server = self._started(bed.server, "server", folder / "server", server_json(settings), at_end)
        server.await_log("msg=listening")
        for first in range(0, len(clients), STARTED_AT_ONCE):
            programs = []
            for number, client in list(enumerate(clients))[first : first + STARTED_AT_ONCE]:
                place, text = folder / f"client{number}", client_json(client)
                programs.append(self._started(bed.clients[number], "client", place, text, at_end))
            for program in programs:
                program.await_log('msg="tunnel is up"', PATIENCE_S)
        profile = dict(settings.slots)[self._transport.slot]
        in_tunnel = str(server_addresses(profile.ipv4_subnet, None).ipv4.ip)
        return Tunnel(
            (in_tunnel,) * len(clients),
            pid_inside(bed.server, b"tungo\0server"),
            tuple(pid_inside(client, b"tungo\0client") for client in bed.clients),
        )

    def _settings(
        self, bed: StarBed, tls: TlsSettings, ca_file: str | None
    ) -> tuple[ServerSettings, list[ClientSettings]]:
        keys = new_key_pair(_PRIMITIVES, _ENTROPY)
        pairs = [new_key_pair(_PRIMITIVES, _ENTROPY) for _ in bed.clients]
        peers = tuple(Peer(pair.public, number, f"client-{number}") for number, pair in enumerate(pairs, 1))
        fresh = default_server_settings()
        settings = replace(
            fresh,
            ws=replace(fresh.ws, tls=tls),
            enabled=frozenset({self._transport.slot}),
            public_key=keys.public,
            private_key=keys.private,
            client_counter=len(peers),
            peers=peers,
        )
        clients = []
        for number, (pair, peer) in enumerate(zip(pairs, peers, strict=True)):
            address = ServerAddress(ipv4=IPv4Address(bed.server_address(number)))
            client = client_settings(settings, address, peer, pair.private, self._transport)
            # Its own end alone decides: plain frames are what both speak unless both offer more.
            client = replace(client, aggregation=self._aggregated)
            clients.append(replace(client, ws=replace(client.ws, tls=TlsSettings(ca_file=ca_file))))
        return settings, clients

    @staticmethod
    def _started(namespace: Namespace, role: str, folder: Path, text: str, at_end: ExitStack) -> Tungo:
        folder.mkdir(mode=0o700)
        file = folder / f"{role}_configuration.json"
        file.touch(mode=0o600)
        file.write_text(text, "utf-8")
        program = Tungo(namespace, role, folder, folder / "log")
        at_end.callback(program.kill)
        return program


def await_answers(bed: StarBed, tunnel: Tunnel) -> None:
    """Return when every client has an answer from the server. Raises AssertionError."""
    for client, address in zip(bed.clients, tunnel.addresses, strict=True):
        ping = f"ping -n -q -c1 -W1 {address} >{os.devnull} && echo yes || true"

        def answered(client: Namespace = client, ping: str = ping) -> bool:
            return bool(client.run("sh", "-c", ping))

        assert eventually(answered, PATIENCE_S), f"no answer from {address} after {PATIENCE_S:.0f} s"


def own_tunnels() -> Iterable[OwnTunnel]:
    """Every transport with plain and with aggregated frames."""
    for transport in TransportProtocol:
        for aggregated in (False, True):
            yield OwnTunnel(transport, aggregated=aggregated)


_: tuple[type[Contender], ...] = (BareCable, OwnTunnel)
