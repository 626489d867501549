"""Two ends of a session, wired back to back: the machines, their keys, and nothing in between.

``ClientEnd`` and ``ServerEnd`` are the thinnest shells that drive a machine as the program does; what they
send piles up in ``outbox`` until a test carries it over, loses it or doubles it.
"""

from collections.abc import Iterator, Sequence
from typing import assert_never

from application.network.connection.crypto import SessionCrypto
from domain.noise.keys import EpochKeys, KeyPair, Role, SessionId
from domain.noise.primitives import Buffer
from domain.packets.service import PING, PONG
from domain.rekey.client import ClientPhase, ClientRekey
from domain.rekey.effects import (
    ActivateEpoch,
    Effect,
    InstallEpoch,
    RekeyDiverged,
    RekeyExhausted,
    SendService,
)
from domain.rekey.rules import LAST_EPOCH, REKEY_INTERVAL_S, Carrier, RekeyVersion
from domain.rekey.server import ServerPhase, ServerRekey
from domain.session.datagram import DatagramSession
from domain.session.framing import split_frames
from domain.session.identifiers import Epoch
from domain.session.opened import OpenedBatch
from domain.session.stream import StreamSession
from tests.adapters.entropy import SeededEntropy
from tests.adapters.primitives import PlainPrimitives

PRIMITIVES = PlainPrimitives()
CLIENT_STATIC = KeyPair.from_private(PRIMITIVES, bytes(range(0x20, 0x40)))
SERVER_STATIC = KeyPair.from_private(PRIMITIVES, bytes(range(0x20)))
SESSION_ID = SessionId(bytes(range(0x60, 0x80)))
FIRST_KEYS = EpochKeys(bytes([1]) * 32, bytes([2]) * 32)


def crypto_for(carrier: Carrier, role: Role) -> SessionCrypto:
    """One end's keys of epoch 0."""
    if carrier is Carrier.DATAGRAM:
        return DatagramSession(PRIMITIVES, role, SESSION_ID, FIRST_KEYS)
    return StreamSession(PRIMITIVES, role, SESSION_ID, FIRST_KEYS)


class _End:
    """What both ends have in common: frames and effects."""

    def __init__(self, carrier: Carrier, role: Role, seed: int) -> None:
        self.carrier = carrier
        self.crypto = crypto_for(carrier, role)
        self.entropy = SeededEntropy(seed).random_bytes
        self.outbox: list[bytes] = []
        self.packets: list[bytes] = []  # received data
        self.service_sent: list[tuple[Epoch, bytes]] = []
        self.verdict: RekeyExhausted | RekeyDiverged | None = None

    def send(self, plaintext: bytes) -> None:
        """Seal in the current send epoch."""
        self.outbox += self.crypto.seal([plaintext])

    def take(self) -> list[bytes]:
        """What was sent since the last call."""
        frames, self.outbox = self.outbox, []
        return frames

    def apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendService(plaintext):
                    self.service_sent.append((self.crypto.send_epoch, plaintext))
                    self.send(plaintext)
                case InstallEpoch(epoch, keys):
                    self.crypto.install(epoch, keys)
                case ActivateEpoch(epoch):
                    self.crypto.activate(epoch)
                case RekeyExhausted() | RekeyDiverged():
                    self.verdict = effect
                case _:
                    assert_never(effect)

    def open(self, frames: list[bytes]) -> Iterator[OpenedBatch]:
        """What arrived together, as far as it can be opened at once; handle each batch before the next."""
        unopened: Sequence[Buffer] = frames
        if self.carrier is Carrier.STREAM:
            unopened, _ = split_frames(b"".join(frames))
        while unopened:
            opened = self.crypto.open(unopened)
            yield opened
            unopened = unopened[opened.consumed :]


class ClientEnd(_End):
    """A client's end; ``receive`` and ``tick`` are what its shell does."""

    def __init__(
        self,
        version: RekeyVersion,
        carrier: Carrier = Carrier.DATAGRAM,
        *,
        interval_s: float = REKEY_INTERVAL_S,
        last_epoch: Epoch = LAST_EPOCH,
    ) -> None:
        super().__init__(carrier, Role.CLIENT, seed=1)
        self.rekey = ClientRekey(
            PRIMITIVES,
            CLIENT_STATIC,
            SERVER_STATIC.public,
            version=version,
            carrier=carrier,
            keys=FIRST_KEYS,
            now_s=0.0,
            interval_s=interval_s,
            last_epoch=last_epoch,
        )

    def tick(self, now_s: float) -> list[bytes]:
        """Let the timer fire; returns what was sent."""
        self.apply(self.rekey.handle_timer(now_s, self.entropy))
        return self.take()

    def receive(self, frames: list[bytes], now_s: float) -> list[bytes]:
        """Open frames from the server; returns what was sent in answer."""
        for opened in self.open(frames):
            self.packets += opened.packets
            if opened.highest_epoch is not None:
                self.rekey.observe(opened.highest_epoch)
            for epoch, plaintext in opened.service:
                if plaintext != PONG:
                    self.apply(self.rekey.receive(epoch, plaintext, now_s))
        return self.take()


class ServerEnd(_End):
    """A server's end; it answers pings."""

    def __init__(
        self,
        version: RekeyVersion,
        carrier: Carrier = Carrier.DATAGRAM,
        *,
        last_epoch: Epoch = LAST_EPOCH,
    ) -> None:
        super().__init__(carrier, Role.SERVER, seed=2)
        self.admitted = True
        self.rekey = ServerRekey(
            PRIMITIVES,
            SERVER_STATIC,
            CLIENT_STATIC.public,
            version=version,
            carrier=carrier,
            keys=FIRST_KEYS,
            still_admitted=lambda: self.admitted,
            last_epoch=last_epoch,
        )

    def receive(self, frames: list[bytes]) -> list[bytes]:
        """Open frames from the client; returns what was sent in answer."""
        for opened in self.open(frames):
            self.packets += opened.packets
            if opened.highest_epoch is not None:
                self.apply(self.rekey.observe(opened.highest_epoch))
            for epoch, plaintext in opened.service:
                if plaintext == PING:
                    self.send(PONG)
                else:
                    self.apply(self.rekey.receive(epoch, plaintext, self.entropy))
        return self.take()


def assert_agreed(client: ClientEnd, server: ServerEnd, epoch: int) -> None:
    """Both ends are idle, in the same epoch, with the same keys."""
    assert client.rekey.phase is ClientPhase.IDLE
    assert server.rekey.phase is ServerPhase.IDLE
    assert client.rekey.send_epoch == client.crypto.send_epoch == epoch
    assert server.rekey.send_epoch == server.crypto.send_epoch == epoch
    assert client.rekey.current_keys == server.rekey.current_keys
    assert client.verdict is server.verdict is None


def rekey_once(client: ClientEnd, server: ServerEnd, now_s: float) -> None:
    """One rekey over a wire that loses nothing."""
    ack = server.receive(client.tick(now_s))
    client.receive(server.receive(client.receive(ack, now_s)), now_s)
