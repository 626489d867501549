"""What happens to sessions in the long run, over real processes: rekeys, revocation, a restarted server.

One client rekeys every second under load from the first test to the last, which looks at the whole of it.
What the tests between them do to the configuration and to other clients must not disturb it.
"""

import contextlib
import functools
import hashlib
import json
import random
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from domain.noise.client import ClientHandshake, Established
from domain.noise.keys import KeyPair, Role
from domain.packets.service import PING, PONG
from domain.session.datagram import SMALLEST_DATAGRAM_BYTES, DatagramSession
from domain.session.nonce import DATAGRAM_HEADER
from domain.settings.client import ClientSettings
from domain.settings.profile import TransportProtocol
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.reading import read_client
from tests.netns.bed import Namespace
from tests.netns.tungo_program import Tungo, eventually
from tests.netns.tunnel_bed import (
    MIB,
    RECONNECT_S,
    SERVER,
    Folders,
    TunnelBed,
    edit_json,
    opened_tunnel_bed,
    set_rekey_interval,
)

pytestmark = pytest.mark.netns

PORT: Final = 9090
REKEYS: Final = 30
REKEY_INTERVAL_S: Final = 1
STREAM_S: Final = REKEYS * REKEY_INTERVAL_S + 4.0
STREAM_BYTES_PER_S: Final = 3 * MIB // 2  # each way
SLICE_S: Final = 0.02

# How soon a change of the configuration must have its effect; it takes a tenth of this.
EFFECT_S: Final = 3.0
# The client notices the silence after 15 s and sends message 1 at 0, 1 and 3 s after its first pause.
LIVENESS_S: Final = 15.0
NEXT_ATTEMPTS_S: Final = 6.0
# Long enough for whatever else the server might say about the same change.
SILENCE_S: Final = 2.2

NOT_USED: Final = 'msg="the changed configuration is not used"'
READ: Final = 'msg="access list read"'
REVOKED: Final = 'msg="session revoked"'

PRIMITIVES: Final = PycaPrimitives()

Document = dict[str, list[dict[str, object]]]


class EpochsOnTheCable:
    """Reads along on a cable: which epochs each session's datagrams to the server are of."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        def open_on_cable() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            made.bind((interface, 0x0800))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
            made.settimeout(0.2)
            return made

        self.of_route: defaultdict[bytes, set[int]] = defaultdict(set)
        self._socket = namespace.call(open_on_cable)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="epochs")
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def longest(self) -> set[int]:
        """The epochs of the session that had most of them."""
        return max(self.of_route.values(), key=len, default=set())

    def _read(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                self._note(self._socket.recv(256))

    def _note(self, frame_untrusted: bytes) -> None:
        datagram = frame_untrusted[14 + 20 + 8 :]
        to_server = frame_untrusted[30:34] == socket.inet_aton(SERVER)
        if frame_untrusted[23] != socket.IPPROTO_UDP or not to_server:
            return
        if len(datagram) >= SMALLEST_DATAGRAM_BYTES:
            route_id, _, _, epoch = DATAGRAM_HEADER.unpack_from(datagram)
            self.of_route[route_id].add(epoch)


class BoundedStream:
    """A TCP connection through the tunnel with traffic both ways at a bounded rate; starts at once."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._pool = ThreadPoolExecutor(max_workers=4)
        self._sent = [self._pool.submit(send_slowly, end, seed) for seed, end in enumerate((near, far))]
        self._received = [self._pool.submit(digest, end) for end in (far, near)]

    def outcome(self) -> tuple[list[str], list[str]]:
        """SHA-256 of what was sent and of what arrived, towards the server and towards the client."""
        try:
            return results(self._sent), results(self._received)
        finally:
            self._pool.shutdown()


def send_slowly(end: socket.socket, seed: int) -> str:
    """Send for STREAM_S and end the direction; the SHA-256 of it."""
    rng = random.Random(seed)
    sent = hashlib.sha256()
    started = time.monotonic()
    slice_bytes = int(STREAM_BYTES_PER_S * SLICE_S)
    for index in range(int(STREAM_S / SLICE_S)):
        block = rng.randbytes(slice_bytes)
        sent.update(block)
        end.sendall(block)
        time.sleep(max(0.0, started + (index + 1) * SLICE_S - time.monotonic()))
    end.shutdown(socket.SHUT_WR)
    return sent.hexdigest()


def digest(end: socket.socket) -> str:
    received = hashlib.sha256()
    while block := end.recv(MIB):
        received.update(block)
    return received.hexdigest()


def results(futures: list[Future[str]]) -> list[str]:
    return [future.result(STREAM_S + RECONNECT_S) for future in futures]


@dataclass(frozen=True)
class World:
    """A server and two clients: one with the long stream, one that tests may cut off."""

    tunnel: TunnelBed
    stream: BoundedStream
    epochs: EpochsOnTheCable
    other: Namespace
    other_process: Tungo

    @property
    def log(self) -> str:
        """The server's."""
        return self.tunnel.server_process.log

    def change(self, change: Callable[[Document], None]) -> None:
        """Edit the server's configuration, in one step as an editor does."""
        file = self.tunnel.folders.server / "server_configuration.json"
        draft = file.with_suffix(".draft")
        draft.write_bytes(file.read_bytes())
        edit_json(draft, change)
        draft.chmod(0o600)
        draft.rename(file)

    def apply(self, change: Callable[[Document], None], effect: str) -> str:
        """Edit it; the one line with ``effect`` that the server logs in time about it."""
        before = self.log
        self.change(change)
        lines: list[str] = []

        def has_effect() -> bool:
            lines[:] = [line for line in self.log.removeprefix(before).splitlines() if effect in line]
            return bool(lines)

        assert eventually(has_effect, EFFECT_S), f"{effect} is not in this log:\n{self.log}"
        [line] = lines
        return line


@pytest.fixture(scope="module")
def world(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    set_rekey_interval(folders.client, REKEY_INTERVAL_S)
    logs = tmp_path_factory.mktemp("logs")
    with contextlib.ExitStack() as stack:
        tunnel = stack.enter_context(opened_tunnel_bed(TransportProtocol.UDP, folders, logs))
        other = tunnel.neighbour()
        epochs = EpochsOnTheCable(tunnel.internet, tunnel.internet_cable)
        stack.callback(epochs.stop)
        tunnel.bring_up()
        stream = BoundedStream(*stack.enter_context(tunnel.connection()))
        other_process = Tungo(other, "client", folders.other, logs / "other.log")
        stack.callback(other_process.kill)
        other_process.await_log('msg="tunnel is up"')
        yield World(tunnel, stream, epochs, other, other_process)


class Chatter:
    """Datagrams through the tunnel, both ways and all the time, between a client's host and the server's."""

    _PORT: Final = 47_100

    def __init__(
        self, client: Namespace, client_address: str, server: Namespace, server_address: str
    ) -> None:
        self._ends = [
            self._open(client, client_address, server_address),
            self._open(server, server_address, client_address),
        ]
        self._heard_at_s = [0.0, 0.0]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._chat, name="chatter")
        self._thread.start()

    def __enter__(self) -> "Chatter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for end in self._ends:
            end.close()

    def flows(self) -> list[bool]:
        """Whether something has just come down to the client, and up to the server."""
        now_s = time.monotonic()
        return [now_s - heard_at_s < 0.5 for heard_at_s in self._heard_at_s]

    def _open(self, namespace: Namespace, local: str, remote: str) -> socket.socket:
        def open_inside() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((local, self._PORT))
            made.connect((remote, self._PORT))
            made.setblocking(False)
            return made

        return namespace.call(open_inside)

    def _chat(self) -> None:
        while not self._stopping.wait(SLICE_S):
            for index, end in enumerate(self._ends):
                with contextlib.suppress(OSError):
                    end.send(b"chatter")
                with contextlib.suppress(OSError):
                    while end.recv(64):
                        self._heard_at_s[index] = time.monotonic()


class SmallClient:
    """A client without TUN device or process: shakes hands and pings. The caller closes ``socket``."""

    def __init__(self, world: World, folder: Path) -> None:
        self._settings = settings_in(folder)
        [self.socket] = world.tunnel.strangers(1)
        self.socket.settimeout(0.5)
        self.socket.connect((SERVER, PORT))
        self._session: DatagramSession | None = None

    def connect(self) -> bool:
        """Whether the server answers a handshake."""
        settings, random_bytes = self._settings, SystemEntropy().random_bytes
        keys = KeyPair(private=settings.private_key, public=settings.public_key)
        machine = ClientHandshake(PRIMITIVES, settings.server_public_key, keys)
        self.socket.send(machine.start(0.0, random_bytes))
        try:
            result = machine.receive(self.socket.recv(2048), 0.0, random_bytes)
        except TimeoutError:
            return False
        assert isinstance(result, Established)
        self._session = DatagramSession(PRIMITIVES, Role.CLIENT, result.session_id, result.keys)
        return True

    def is_answered(self) -> bool:
        """Whether the server answers a ping in the session."""
        assert self._session is not None
        self.socket.send(self._session.seal([PING])[0])
        try:
            opened = self._session.open([self.socket.recv(2048)])
        except TimeoutError:
            return False
        return [plaintext for _, plaintext in opened.service] == [PONG]


def settings_in(folder: Path) -> ClientSettings:
    return read_client(folder / "client_configuration.json", PRIMITIVES.public_key)


def peer_of(document: Document, folder: Path) -> dict[str, object]:
    """The entry of the access list for the client whose configuration is in ``folder``."""
    own = json.loads((folder / "client_configuration.json").read_text("utf-8"))["ClientPublicKey"]
    [entry] = [entry for entry in document["AllowedPeers"] if entry["PublicKey"] == own]
    return entry


def test_a_disabled_peer_is_cut_off_and_comes_back_by_itself_when_it_is_enabled(world: World) -> None:
    folder = world.tunnel.folders.other
    address = str(settings_in(folder).addresses.ipv4.ip)

    def enable(document: Document, *, enabled: bool) -> None:
        peer_of(document, folder)["Enabled"] = enabled

    with Chatter(world.other, address, world.tunnel.server, world.tunnel.server_in_tunnel) as chatter:
        assert eventually(lambda: all(chatter.flows()), EFFECT_S)
        line = world.apply(functools.partial(enable, enabled=False), REVOKED)
        assert f"client_id={settings_in(folder).client_id} " in line
        assert eventually(lambda: not any(chatter.flows()), 1.0)

        world.other_process.await_log("session ended, reconnecting", LIVENESS_S + 2)
        assert not eventually(lambda: any(chatter.flows()), 1.0)
        assert world.other_process.log.count("msg=connected") == 1
        world.apply(functools.partial(enable, enabled=True), READ)
        assert eventually(lambda: all(chatter.flows()), NEXT_ATTEMPTS_S), world.other_process.log
    assert world.other_process.log.count("msg=connected") == 2


def test_a_peer_is_admitted_renumbered_and_removed_while_the_server_runs(world: World) -> None:
    folder = world.tunnel.folders.disabled
    number = settings_in(folder).client_id

    def enable(document: Document) -> None:
        peer_of(document, folder)["Enabled"] = True

    def renumber(document: Document) -> None:
        peer_of(document, folder)["ClientID"] = 99

    def remove(document: Document) -> None:
        document["AllowedPeers"].remove(peer_of(document, folder))

    client = SmallClient(world, folder)
    with client.socket:
        assert not client.connect()
        world.apply(enable, READ)
        assert client.connect()
        assert client.is_answered()

        assert f"client_id={number} " in world.apply(renumber, REVOKED)
        assert not client.is_answered()
        assert client.connect()
        assert client.is_answered()

        assert "client_id=99 " in world.apply(remove, REVOKED)
        assert not client.is_answered()
        assert not client.connect()


def test_an_invalid_and_a_vanished_file_change_nothing_and_are_reported_once_each(world: World) -> None:
    file = world.tunnel.folders.server / "server_configuration.json"
    good = file.with_suffix(".good")
    good.write_bytes(file.read_bytes())
    client = SmallClient(world, world.tunnel.folders.other)
    with client.socket:
        for spoil in (functools.partial(file.write_bytes, b"{"), file.unlink):
            before = world.log
            spoil()
            assert eventually(functools.partial(reports, world, before), EFFECT_S), world.log
            time.sleep(SILENCE_S)
            assert world.log.removeprefix(before).count(NOT_USED) == 1
            assert REVOKED not in world.log.removeprefix(before)
            assert client.connect()  # new sessions begin, too, with the list as it was
            assert world.tunnel.answers(world.tunnel.server_in_tunnel)
        before = world.log
        good.rename(file)
        assert eventually(lambda: READ in world.log.removeprefix(before), EFFECT_S), world.log


def reports(world: World, before: str) -> bool:
    """Whether the server has complained since its log was ``before``."""
    return NOT_USED in world.log.removeprefix(before)


def test_thirty_rekeys_in_a_row_cost_a_loaded_stream_no_byte(world: World) -> None:
    sent, received = world.stream.outcome()
    assert sent == received
    assert set(range(REKEYS + 1)) <= world.epochs.longest()
    assert "session ended" not in world.tunnel.client_process.log
    own_id = settings_in(world.tunnel.folders.client).client_id
    assert f"client_id={own_id} " not in "".join(re.findall(f"{REVOKED}.*", world.log))


def test_after_rekeys_the_client_reconnects_to_a_restarted_server_and_rekeys_again(world: World) -> None:
    tunnel = world.tunnel
    assert tunnel.server_process.stop()[0] == 0
    tunnel.client_process.await_log("session ended, reconnecting", LIVENESS_S + 2)
    known = set(world.epochs.of_route)
    tunnel.start_server()
    tunnel.await_answer(RECONNECT_S)

    def has_rekeyed() -> bool:
        return any(
            {0, 1, 2} <= epochs for route, epochs in world.epochs.of_route.items() if route not in known
        )

    assert eventually(has_rekeyed, 5 * REKEY_INTERVAL_S)
