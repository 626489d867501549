"""A server, a client and the Internet between them, with ``tungo`` as real processes.

::

    client namespace             internet namespace                        server namespace
    192.0.2.2      ------------- 192.0.2.1    198.51.100.1   ------------- 198.51.100.2
    2001:db8:c::2                203.0.113.80, 2001:db8:f::80              2001:db8:5::2
                                 (hosts beyond the server, on lo)

The internet namespace forwards between its two cables, sees everything that crosses them and is where
strangers live. The client reaches the hosts beyond without a tunnel, too: whether a connection went through
the tunnel shows in the address that it comes from.

The ends of every conversation but ``tungo`` and ``ping`` are sockets of this process, opened inside.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import pytest

from domain.addressing.tunnel import server_addresses
from domain.session.identifiers import ROUTE_ID_BYTES
from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.profile import TransportProtocol
from domain.settings.rules import settings_path
from tests.infrastructure.network.tls.certificates import Authority
from tests.netns.bed import Namespace, NetnsBed, require_namespaces
from tests.netns.tungo_program import START_S, Tungo, eventually, program_environment

_Document = TypeVar("_Document")

CLIENT: Final = "192.0.2.2"
CLIENT_AFTER_MOVE: Final = "192.0.2.3"
CLIENT_GATEWAY: Final = "192.0.2.1"
SERVER: Final = "198.51.100.2"
SERVER_GATEWAY: Final = "198.51.100.1"
BEYOND: Final = "203.0.113.80"
BEYOND_V6: Final = "2001:db8:f::80"

MIB: Final = 1024 * 1024

# A killed server, of which ICMP tells, is given up after some seconds, a silent one after 15.
RECONNECT_S: Final = 25.0

_TRANSFER_TIMEOUT_S: Final = 30.0
_ETH_P_ALL: Final = 3
_SO_RCVBUFFORCE: Final = 33  # <asm-generic/socket.h>
_CAPTURE_BYTES: Final = 32 * MIB
_ETHERNET_HEADER_BYTES: Final = 14


@dataclasses.dataclass(frozen=True, slots=True)
class Folders:
    """Configuration folders made by ``tungo server gen``: the server's, and those of four clients of it.

    ``client`` and ``other`` are admitted; ``disabled`` stands in the access list as disabled; ``unknown`` was
    admitted and taken out again.
    """

    server: Path
    client: Path
    other: Path
    disabled: Path
    unknown: Path


class TunnelBed:
    """Namespaces and configurations of one tunnel, and the processes of both ends.

    ``transport`` is the one that the server serves.
    """

    def __init__(
        self, transport: TransportProtocol, bed: NetnsBed, folders: Folders, log_folder: Path
    ) -> None:
        self.folders = folders
        self._log_folder = log_folder
        self._bed = bed
        defaults = SLOT_DEFAULTS[transport.slot]
        self.server_interface = defaults.server_interface
        in_tunnel = server_addresses(defaults.ipv4_subnet, defaults.ipv6_subnet)
        assert in_tunnel.ipv6 is not None
        self.server_in_tunnel = str(in_tunnel.ipv4.ip)
        self.server_in_tunnel_v6 = str(in_tunnel.ipv6.ip)
        self.client: Namespace = bed.namespace("client")
        self.internet: Namespace = bed.namespace("internet")
        self.server: Namespace = bed.namespace("server")
        self.client_cable, self.internet_cable = bed.join(
            self.client,
            [f"{CLIENT}/24", "2001:db8:c::2/64"],
            self.internet,
            [f"{CLIENT_GATEWAY}/24", "2001:db8:c::1/64"],
        )
        self.server_cable, self.server_side_cable = bed.join(
            self.server,
            [f"{SERVER}/24", "2001:db8:5::2/64"],
            self.internet,
            [f"{SERVER_GATEWAY}/24", "2001:db8:5::1/64"],
        )
        self.internet.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.internet.run("ip", "addr", "add", f"{BEYOND}/32", "dev", "lo")
        self.internet.run("ip", "addr", "add", f"{BEYOND_V6}/128", "dev", "lo", "nodad")
        self.client.run("ip", "route", "add", "default", "via", CLIENT_GATEWAY)
        self.client.run("ip", "-6", "route", "add", "default", "via", "2001:db8:c::1")
        self.server.run("ip", "route", "add", "default", "via", SERVER_GATEWAY)
        self.server.run("ip", "-6", "route", "add", "default", "via", "2001:db8:5::1")
        for end in (self.client, self.server):
            # Connections soon notice that a tunnel is back, and do not give up before (Linux 6.15 or newer).
            end.run("sysctl", "-qe", "-w", "net.ipv4.tcp_rto_max_ms=1000", "net.ipv4.tcp_retries2=60")
        self._neighbour: Namespace | None = None
        self._started: list[Tungo] = []
        self._running: dict[str, Tungo] = {}

    @property
    def server_process(self) -> Tungo:
        """The server that was started last."""
        return self._running["server"]

    @property
    def client_process(self) -> Tungo:
        """The client that was started last."""
        return self._running["client"]

    def neighbour(self) -> Namespace:
        """A host for another client, on a cable of its own; the same one each time."""
        if self._neighbour is None:
            self._neighbour = self._bed.namespace("neighbour")
            self._bed.join(self._neighbour, ["192.0.2.130/25"], self.internet, ["192.0.2.129/25"])
            self._neighbour.run("ip", "route", "add", "default", "via", "192.0.2.129")
        return self._neighbour

    def start_server(self) -> Tungo:
        """Start the server; returns when it listens."""
        process = self._start("server", self.server, self.folders.server)
        process.await_log("msg=listening")
        return process

    def start_client(self) -> Tungo:
        """Start the client; returns when its tunnel is up."""
        process = self._start("client", self.client, self.folders.client)
        process.await_log('msg="tunnel is up"')
        return process

    def bring_up(self) -> None:
        """Start whichever end does not run; returns when the server answers through the tunnel."""
        for role, start in (("server", self.start_server), ("client", self.start_client)):
            if role not in self._running or not self._running[role].is_running:
                start()
        self.await_answer(START_S)

    def await_answer(self, within_s: float) -> None:
        """Return when the server answers through the tunnel. Raises AssertionError with both logs."""
        answered = eventually(lambda: self.answers(self.server_in_tunnel), within_s)
        logs = "".join(f"\n{role}:\n{process.log}" for role, process in self._running.items())
        assert answered, f"the tunnel is not up after {within_s} s{logs}"

    def end(self) -> None:
        """Kill what still runs; to be called before the namespaces are removed."""
        while self._started:
            self._started.pop().kill()

    def answers(self, address: str) -> bool:
        """Whether ``address`` answers one ping of the client within a second."""
        return self.client.reaches(address)

    def source_seen_beyond(self) -> str:
        """The address that a TCP connection of the client to the host beyond comes from."""
        with self._connected(self.client, self.internet, BEYOND) as (_, accepted):
            host: str = accepted.getpeername()[0]
            return host

    @contextlib.contextmanager
    def connection(
        self, source: Namespace | None = None, address: str | None = None
    ) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A TCP connection through the tunnel: the client's end and the server's.

        From another client's namespace and to another address of the server, if so asked.
        """
        with self._connected(source or self.client, self.server, address or self.server_in_tunnel) as ends:
            yield ends

    @contextlib.contextmanager
    def captured_datagrams(self, port: int) -> Iterator[list[bytes]]:
        """UDP datagrams to ``port`` of the server, as they left the client; the list is filled on exit."""
        with self.captured_frames() as packets:
            datagrams: list[bytes] = []
            yield datagrams
        for packet in packets:
            datagram = _datagram_to(SERVER, port, packet)
            if datagram is not None:
                datagrams += _segments(datagram)

    @contextlib.contextmanager
    def captured_tcp(self, port: int) -> Iterator[list[bytes]]:
        """What TCP segments to ``port`` of the server carried, as ``captured_datagrams``."""
        with self.captured_frames() as packets:
            payloads: list[bytes] = []
            yield payloads
        for packet in packets:
            payload = _tcp_payload_to(SERVER, port, packet)
            if payload:
                payloads.append(payload)

    @contextlib.contextmanager
    def captured_frames(self, cable: str | None = None) -> Iterator[list[bytes]]:
        """The frames on the client's cable, or another one of the internet's; the list is filled on exit.

        No more than the kernel keeps until then, the first ones.
        """

        def open_on_cable() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _CAPTURE_BYTES)
            made.bind((cable or self.internet_cable, _ETH_P_ALL))
            made.settimeout(0)
            return made

        frames: list[bytes] = []
        with self.internet.call(open_on_cable) as tap:
            yield frames
            with contextlib.suppress(BlockingIOError):
                while True:
                    frames.append(tap.recv(1 << 17))

    def strangers(self, count: int) -> list[socket.socket]:
        """Non-blocking UDP sockets in the server's own network; the caller closes them."""

        def open_all() -> list[socket.socket]:
            made = []
            for _ in range(count):
                stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                stranger.bind((SERVER_GATEWAY, 0))
                stranger.settimeout(0)
                made.append(stranger)
            return made

        return self.internet.call(open_all)

    def tcp_strangers(self, count: int, port: int) -> list[socket.socket]:
        """TCP connections to the server from its own network; the caller closes them."""

        def open_all() -> list[socket.socket]:
            source = (SERVER_GATEWAY, 0)
            return [socket.create_connection((SERVER, port), 5.0, source) for _ in range(count)]

        return self.internet.call(open_all)

    def move_client(self, old: str, new: str) -> None:
        """Take the client's address away and give it another one on the same cable."""
        self.client.run("ip", "addr", "del", f"{old}/24", "dev", self.client_cable)
        self.client.run("ip", "addr", "add", f"{new}/24", "dev", self.client_cable)
        self.client.run("ip", "route", "replace", "default", "via", CLIENT_GATEWAY)

    def translate_client(self, address: str) -> None:
        """From now on the server sees the client's datagrams come from ``address``, one of its own network.

        Without connection tracking, so that it also holds for conversations that have begun.
        """
        self.internet.run("ip", "addr", "add", f"{address}/24", "dev", self.server_side_cable)
        self.internet.run(
            "nft",
            "add table ip translate;"
            "add chain ip translate there { type filter hook postrouting priority 0; };"
            f"add rule ip translate there ip daddr {SERVER} ip saddr {CLIENT} ip saddr set {address};"
            "add chain ip translate back { type filter hook prerouting priority -300; };"
            f"add rule ip translate back ip saddr {SERVER} ip daddr {address} ip daddr set {CLIENT}",
        )

    def _start(self, role: str, namespace: Namespace, folder: Path) -> Tungo:
        log_file = self._log_folder / f"{role}-{len(self._started)}.log"
        tungo = self._running[role] = Tungo(namespace, role, folder, log_file)
        self._started.append(tungo)
        return tungo

    @contextlib.contextmanager
    def _connected(
        self, source: Namespace, destination: Namespace, address: str
    ) -> Iterator[tuple[socket.socket, socket.socket]]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listen = functools.partial(socket.create_server, (address, 0), family=family)
        with destination.call(listen) as listener:
            endpoint = listener.getsockname()[:2]
            listener.settimeout(_TRANSFER_TIMEOUT_S)
            connect = functools.partial(socket.create_connection, endpoint, timeout=_TRANSFER_TIMEOUT_S)
            with source.call(connect) as near:
                far, _ = listener.accept()
                far.settimeout(_TRANSFER_TIMEOUT_S)
                with far:
                    yield near, far


def make_folders(transport: TransportProtocol, root: Path) -> Folders:
    """Let ``tungo server gen`` make the configurations of a server and four clients below ``root``.

    The tunnel carries IPv4 and IPv6. Over WSS the server shows a certificate of an authority made for it, and
    the clients trust that authority.
    """
    authority = Authority.make(root) if transport is TransportProtocol.WSS else None
    certificate = authority.issue("server", [SERVER]) if authority is not None else None
    folders = Folders(*(root / name for name in ("server", "client", "other", "disabled", "unknown")))
    _generate(folders.server, folders.disabled)

    def prepare(document: dict[str, dict[str, object]]) -> None:
        profile = document[settings_path(transport)]
        profile["IPv6Subnet"] = str(SLOT_DEFAULTS[transport.slot].ipv6_subnet)
        if certificate is not None:
            profile["TLS"] = {
                "CertificateFile": certificate.certificate_file,
                "KeyFile": certificate.key_file,
            }

    def enable_transport(document: dict[str, bool]) -> None:
        for slot in (TransportProtocol.UDP, TransportProtocol.TCP, TransportProtocol.WS):
            document[f"Enable{slot.value}"] = slot is transport.slot

    def disable_first(document: dict[str, list[dict[str, bool]]]) -> None:
        document["AllowedPeers"][0]["Enabled"] = False

    def forget_last(document: dict[str, list[object]]) -> None:
        document["AllowedPeers"].pop()

    file = folders.server / "server_configuration.json"
    edit_json(file, prepare)
    edit_json(file, enable_transport)
    edit_json(file, disable_first)
    _generate(folders.server, folders.unknown)
    edit_json(file, forget_last)
    _generate(folders.server, folders.client)
    _generate(folders.server, folders.other)
    if authority is not None:
        for folder in (folders.client, folders.other):
            edit_json(folder / "client_configuration.json", functools.partial(_trust, authority))
    return folders


def _trust(authority: Authority, document: dict[str, dict[str, object]]) -> None:
    document["WSSettings"]["TLS"] = {"CAFile": authority.ca_file}


def edit_json(file: Path, change: Callable[[_Document], None]) -> None:
    """Rewrite ``file`` with its document changed in place."""
    document: _Document = json.loads(file.read_text("utf-8"))
    change(document)
    file.write_text(json.dumps(document), "utf-8")


def set_rekey_interval(client_folder: Path, interval_s: int) -> None:
    """Have the client whose configuration is there change its keys that often."""

    def change(document: dict[str, int]) -> None:
        document["RekeyIntervalSeconds"] = interval_s

    edit_json(client_folder / "client_configuration.json", change)


def over(*transports: TransportProtocol) -> Callable[[pytest.FixtureRequest], TransportProtocol]:
    """The fixture ``transport`` of a module whose tests run over each of these."""

    @pytest.fixture(scope="module", params=transports, ids=lambda protocol: protocol.value)
    def transport(request: pytest.FixtureRequest) -> TransportProtocol:
        protocol: TransportProtocol = request.param
        return protocol

    return transport


@contextlib.contextmanager
def opened_tunnel_bed(
    transport: TransportProtocol, folders: Folders, log_folder: Path
) -> Iterator[TunnelBed]:
    """A TunnelBed with nothing started; its processes and namespaces are gone on exit.

    Where the machine cannot have namespaces the test is skipped, and fails in CI.
    """
    require_namespaces()
    with NetnsBed() as bed:
        made = TunnelBed(transport, bed, folders, log_folder)
        try:
            yield made
        finally:
            made.end()


def transfer(
    source: socket.socket, sink: socket.socket, mib: int, between: Callable[[int], None] = lambda index: None
) -> tuple[str, str]:
    """Send ``mib`` random MiB over a connection and end its sending side; the SHA-256 at both ends.

    ``between`` is called after each MiB that the kernel has taken, with the number of them.
    """
    sent = hashlib.sha256()
    with ThreadPoolExecutor(max_workers=1) as pool:
        received = pool.submit(_digest_until_end, sink)
        try:
            for index in range(mib):
                block = os.urandom(MIB)
                sent.update(block)
                source.sendall(block)
                between(index + 1)
            source.shutdown(socket.SHUT_WR)
        except BaseException:
            sink.shutdown(socket.SHUT_RD)  # the other thread need not wait for what does not come
            raise
        return sent.hexdigest(), received.result(_TRANSFER_TIMEOUT_S)


def _digest_until_end(sink: socket.socket) -> str:
    received = hashlib.sha256()
    buffer = bytearray(MIB)
    while count := sink.recv_into(buffer):
        received.update(memoryview(buffer)[:count])
    return received.hexdigest()


def _segments(run: bytes) -> list[bytes]:
    """The datagrams of a run, which a veth carries as one: each begins with the session's route id."""
    size = run.find(run[:ROUTE_ID_BYTES], 1)
    if size < 0:
        return [run]
    return [run[offset : offset + size] for offset in range(0, len(run), size)]


def _datagram_to(address: str, port: int, frame_untrusted: bytes) -> bytes | None:
    """The payload of an Ethernet frame with UDP over IPv4 to that endpoint, None for other frames."""
    packet = frame_untrusted[_ETHERNET_HEADER_BYTES:]
    if len(packet) < 28 or packet[0] != 0x45 or packet[9] != socket.IPPROTO_UDP:
        return None
    if packet[16:20] != socket.inet_aton(address) or packet[22:24] != port.to_bytes(2, "big"):
        return None
    return packet[28 : 20 + int.from_bytes(packet[24:26], "big")]


def _tcp_payload_to(address: str, port: int, frame_untrusted: bytes) -> bytes | None:
    """The payload of an Ethernet frame with TCP over IPv4 to that endpoint, None for other frames."""
    packet = frame_untrusted[_ETHERNET_HEADER_BYTES:]
    if len(packet) < 40 or packet[0] != 0x45 or packet[9] != socket.IPPROTO_TCP:
        return None
    if packet[16:20] != socket.inet_aton(address) or packet[22:24] != port.to_bytes(2, "big"):
        return None
    return packet[20 + (packet[32] >> 4) * 4 : int.from_bytes(packet[2:4], "big")]


def _generate(server_folder: Path, client_folder: Path) -> None:
    client_folder.mkdir(mode=0o700)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tungo", "server", "gen", "--config-dir", str(server_folder)),
            *("--host", SERVER, "--output", str(client_folder / "client_configuration.json")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env=program_environment(),
    )
    assert done.returncode == 0, done.stderr
