"""One client's way into a server, timed; without a process of its own, so that nothing else is timed."""

import contextlib
import os
import socket
import time
from dataclasses import dataclass
from typing import Final

from domain.noise.client import ClientHandshake, Established
from domain.noise.cookie import is_cookie_reply
from domain.noise.keys import KeyPair, Role
from domain.packets.service import PING, PONG
from domain.session.datagram import DatagramSession
from domain.settings.client import ClientSettings
from infrastructure.cryptography.primitives import PycaPrimitives
from tests.netns.bed import Namespace

# As the client: this long for one attempt, then a pause and a fresh one.
ATTEMPT_S: Final = 5.0
PAUSE_S: Final = 0.5
ATTEMPTS: Final = 3

_PRIMITIVES: Final = PycaPrimitives()


@dataclass(frozen=True, slots=True)
class Join:
    """How it went. ``seconds``, up to the answer to a first ping, is None if the client never got in."""

    seconds: float | None
    messages: int
    had_cookie: bool


def join(namespace: Namespace, settings: ClientSettings, server: tuple[str, int]) -> Join:
    """Try as a client of this program tries, from inside ``namespace``."""

    def connected() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect(server)
        return made

    joining = _Joining(settings)
    started_s = time.monotonic()
    for _ in range(ATTEMPTS):
        with namespace.call(connected) as path, contextlib.suppress(TimeoutError):
            joining.attempt(path, time.monotonic() + ATTEMPT_S)
            return Join(time.monotonic() - started_s, joining.messages, joining.had_cookie)
        time.sleep(PAUSE_S)
    return Join(None, joining.messages, joining.had_cookie)


class _Joining:
    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self.messages = 0
        self.had_cookie = False

    def attempt(self, path: socket.socket, end_s: float) -> None:
        """Shake hands and ping. Raises TimeoutError."""
        established = self._shake_hands(path, end_s)
        session = DatagramSession(_PRIMITIVES, Role.CLIENT, established.session_id, established.keys)
        while True:
            path.send(session.seal([PING])[0])
            path.settimeout(min(_left(end_s), 1.0))
            with contextlib.suppress(TimeoutError):
                opened = session.open([path.recv(2048)])
                if [plaintext for _, plaintext in opened.service] == [PONG]:
                    return

    def _shake_hands(self, path: socket.socket, end_s: float) -> Established:
        keys = KeyPair(private=self._settings.private_key, public=self._settings.public_key)
        machine = ClientHandshake(_PRIMITIVES, self._settings.server_public_key, keys)
        message: bytes | None = machine.start(time.monotonic(), os.urandom)
        while True:
            if message is not None:
                path.send(message)
                self.messages += 1
            path.settimeout(max(min(machine.next_deadline() - time.monotonic(), _left(end_s)), 1e-3))
            try:
                reply = path.recv(2048)
            except TimeoutError:
                _left(end_s)
                message = machine.handle_timer(time.monotonic(), os.urandom)
                continue
            self.had_cookie |= is_cookie_reply(reply)
            outcome = machine.receive(reply, time.monotonic(), os.urandom)
            if isinstance(outcome, Established):
                return outcome
            message = outcome


def _left(end_s: float) -> float:
    left_s = end_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
