"""The client's side of the handshake, without I/O (protocol specification 1.9).

::

    IDLE ── start ──> AWAITING_REPLY ── message 2 ──> ESTABLISHED
                        │  ↺ timer, challenge
                        └── failure ──> FAILED

Laws

- Every message 1 is a fresh attempt with an ephemeral key of its own, and only the reply to the newest
  attempt counts.
- On datagrams a reply that does not fit is ignored, whoever sent it: a stray or forged datagram must not cost
  the attempt. A stream delivers the server's answer and nothing before it, so there it ends the attempt.
- On datagrams an attempt without a reply is repeated after 1, 2, 4 s and so on (that is at 0, 1, 3, 7 s). The
  interval doubles because a fixed one would outrun a server that is further away: each new attempt would void
  the message 2 that is on its way. The Go client sends once and waits for its deadline.
- A cookie is kept as long as the machine lives, and every later attempt returns it. A challenge is answered
  at once only if the attempt it answers held no cookie, else with the next timed attempt: so neither a server
  that always asks nor somebody who can read our message 1 and forge challenges makes the client send faster
  than its timer.
- Message 2 proves to be the server's before it is read; one that breaks the rules is no stray, and ends the
  attempt on any transport.

The time for the whole handshake is the caller's to limit.
"""

import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from domain.noise.cookie import is_cookie_reply, open_cookie_reply
from domain.noise.errors import (
    CookieReplyError,
    NoiseError,
    RepeatedChallengeError,
    UnexpectedCapabilityError,
)
from domain.noise.ik import InitiatorHandshake
from domain.noise.keys import KeyPair
from domain.noise.mac import MAC_BYTES, mac1_key, mac2_key, write_mac1, write_mac2
from domain.noise.message import (
    DEFAULT_CAPABILITIES,
    Agreed,
    Capability,
    Message1,
    accept_selection,
    encode_capabilities,
)
from domain.noise.primitives import KEY_BYTES, Buffer, Primitives, RandomBytes

# Ours: longer than nearly every round trip on earth, and short against the 5 s that an attempt to connect may
# take.
FIRST_RETRY_INTERVAL_S: Final = 1.0


class Delivery(Enum):
    """What the messages travel on."""

    DATAGRAM = auto()
    STREAM = auto()


@dataclass(frozen=True, slots=True)
class Established(Agreed):
    """The server agreed; ``capabilities`` are what it selected of the advertised ones."""


class _State(Enum):
    IDLE = auto()
    AWAITING_REPLY = auto()
    ESTABLISHED = auto()
    FAILED = auto()


class _Event(Enum):
    START = auto()
    TIMER = auto()
    REPLY = auto()
    MESSAGE2 = auto()
    FAILURE = auto()


_TRANSITIONS: Final = {
    (_State.IDLE, _Event.START): _State.AWAITING_REPLY,
    (_State.AWAITING_REPLY, _Event.TIMER): _State.AWAITING_REPLY,
    (_State.AWAITING_REPLY, _Event.REPLY): _State.AWAITING_REPLY,
    (_State.AWAITING_REPLY, _Event.MESSAGE2): _State.ESTABLISHED,
    (_State.AWAITING_REPLY, _Event.FAILURE): _State.FAILED,
}


@dataclass(frozen=True, slots=True)
class _Attempt:
    handshake: InitiatorHandshake
    returned_cookie: bool


class ClientHandshake:
    """One endeavour to open a session, over one path.

    Calls out of order raise RuntimeError; see the module's laws for what each call may do.
    """

    def __init__(
        self,
        primitives: Primitives,
        server_public: bytes,
        static: KeyPair,
        capabilities: AbstractSet[Capability] = DEFAULT_CAPABILITIES,
        *,
        delivery: Delivery = Delivery.DATAGRAM,
    ) -> None:
        self._primitives = primitives
        self._server_public = server_public
        self._static = static
        self._capabilities = capabilities
        self._delivery = delivery
        self._mac1_key = mac1_key(server_public)
        self._cookie: bytes | None = None
        self._attempt: _Attempt | None = None
        self._interval_s = FIRST_RETRY_INTERVAL_S
        self._deadline_s = math.inf
        self._state = _State.IDLE

    def next_deadline(self) -> float:
        """When ``handle_timer`` is due, in the caller's monotonic seconds; infinity when it never is."""
        return self._deadline_s

    def start(self, now_s: float, entropy: RandomBytes) -> bytes:
        """The message 1 to send first.

        Raises NoiseError when the configured server key is a point of low order.
        """
        self._enter(_Event.START)
        return self._begin_attempt(now_s, entropy)

    def handle_timer(self, now_s: float, entropy: RandomBytes) -> bytes:
        """The message 1 to send now that ``next_deadline`` has passed; datagrams only."""
        if self._delivery is Delivery.STREAM:
            raise RuntimeError("a stream delivers: its handshake has no timer")
        self._enter(_Event.TIMER)
        self._interval_s *= 2
        return self._begin_attempt(now_s, entropy)

    def receive(
        self, message_untrusted: Buffer, now_s: float, entropy: RandomBytes
    ) -> Established | bytes | None:
        """Take one message from the server's address.

        Returns the session; or a message 1 to send, because the server asked for a cookie; or None, there is
        nothing to do but wait. Raises UnexpectedCapabilityError when a genuine message 2 breaks the rules,
        and on a stream NoiseError, CookieReplyError or RepeatedChallengeError for anything that is not the
        expected reply. After an error the machine is of no further use.
        """
        self._enter(_Event.REPLY)
        try:
            if is_cookie_reply(message_untrusted):
                return self._receive_challenge(message_untrusted, now_s, entropy)
            return self._receive_message2(message_untrusted)
        except (NoiseError, CookieReplyError):
            if self._delivery is Delivery.DATAGRAM:
                return None
            self._fail()
            raise
        except (RepeatedChallengeError, UnexpectedCapabilityError):
            self._fail()
            raise

    def _receive_challenge(self, reply_untrusted: Buffer, now_s: float, entropy: RandomBytes) -> bytes | None:
        attempt = self._newest_attempt()
        self._cookie = open_cookie_reply(
            self._primitives, self._server_public, attempt.handshake.ephemeral_public, reply_untrusted
        )
        if not attempt.returned_cookie:
            return self._begin_attempt(now_s, entropy)
        if self._delivery is Delivery.STREAM:
            raise RepeatedChallengeError("the server asked for a cookie a second time")
        return None

    def _receive_message2(self, message_untrusted: Buffer) -> Established:
        result = self._newest_attempt().handshake.read_message2(message_untrusted)
        capabilities = accept_selection(result.payload, self._capabilities)
        self._enter(_Event.MESSAGE2)
        self._forget_attempt()
        return Established(keys=result.keys, session_id=result.session_id, capabilities=capabilities)

    def _begin_attempt(self, now_s: float, entropy: RandomBytes) -> bytes:
        handshake = InitiatorHandshake(
            self._primitives,
            self._static,
            self._server_public,
            entropy(KEY_BYTES),
            payload=encode_capabilities(self._capabilities),
        )
        self._attempt = _Attempt(handshake, returned_cookie=self._cookie is not None)
        if self._delivery is Delivery.DATAGRAM:
            self._deadline_s = now_s + self._interval_s
        mac1 = write_mac1(self._mac1_key, handshake.message1)
        # Without a cookie MAC2 is noise, so that an observer cannot tell first attempts from later ones.
        mac2 = (
            entropy(MAC_BYTES)
            if self._cookie is None
            else write_mac2(mac2_key(self._cookie), handshake.message1, mac1)
        )
        return Message1(handshake.message1, mac1, mac2).encode()

    def _newest_attempt(self) -> _Attempt:
        if self._attempt is None:
            raise RuntimeError("no attempt is under way")
        return self._attempt

    def _enter(self, event: _Event) -> None:
        try:
            self._state = _TRANSITIONS[self._state, event]
        except KeyError:
            raise RuntimeError(
                f"{event.name} cannot happen to a handshake that is {self._state.name}"
            ) from None

    def _fail(self) -> None:
        self._enter(_Event.FAILURE)
        self._forget_attempt()

    def _forget_attempt(self) -> None:
        # The ephemeral private key must not outlive the handshake.
        self._attempt = None
        self._deadline_s = math.inf
