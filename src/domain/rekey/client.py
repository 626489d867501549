"""The client's side of a rekey (specification 5.5, client; 5.6; 10.1).

::

    phase          event                                       next           there
    IDLE           OFFERED     the interval is over            AWAITING_ACK   the init was sent
    AWAITING_ACK   GRANTED     its ack came                    CONFIRMING     all is sent in the new epoch
    CONFIRMING     CONFIRMED   the server was seen in it       IDLE           ready for the next rekey
    any of these   ABANDONED   no rekey is possible any more   ENDED          the shell ends the session

Laws

- A timer starts a rekey, not traffic: an idle session changes its keys as a busy one does. One is in flight
  at most; an interval that ends in the midst of one is skipped.
- An init is repeated byte for byte, never more often than ``rules.repeat_delays`` says. An ack counts only
  while an init is pending and only in the epoch in which that was sent: an ack of an earlier rekey that was
  overtaken cannot be taken for this one's.
- After the ack nothing is sent in the old epoch again. A Ping goes out in the new one at once, because a
  server moves on with the first frame that it gets in it; over datagrams it is repeated until the server
  was seen there. A server that was not seen there in time ends the session: it may still be sending in the
  old epoch, and what it sends must not hide that it hears nothing.
- An ack that yields no keys leaves everything as it was, so that the right one may follow. August drops its
  init there and is then ignored for ever, for the server still waits for the first; we repeat it instead,
  and if its ack is refused time after time, end the session: a new handshake heals what a new init cannot.
- Nothing that a server sends raises, and no nonsense changes the state.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, assert_never

from domain.noise.keys import EpochKeys, KeyPair
from domain.noise.primitives import KEY_BYTES, Primitives, RandomBytes
from domain.packets.service import (
    EPOCH_EXHAUSTED,
    PING,
    MalformedServicePacketError,
    body_of_untrusted,
)
from domain.rekey.derivation import Offer, OfferV1, OfferV2, RekeyRefusedError
from domain.rekey.effects import (
    ActivateEpoch,
    Effect,
    InstallEpoch,
    RekeyDiverged,
    RekeyExhausted,
    SendService,
)
from domain.rekey.rules import (
    CONFIRM_PING_S,
    CONFIRM_WITHIN_S,
    LAST_EPOCH,
    REFUSED_ACKS_LIMIT,
    REKEY_INTERVAL_S,
    Carrier,
    RekeyVersion,
    RepeatDelays,
    next_phase,
    repeat_delays,
)
from domain.session.identifiers import FIRST_EPOCH, Epoch


class ClientPhase(Enum):
    """Where the client stands between two epochs."""

    IDLE = auto()
    AWAITING_ACK = auto()
    CONFIRMING = auto()
    ENDED = auto()


class ClientEvent(Enum):
    """What moves the client on."""

    OFFERED = auto()
    GRANTED = auto()
    CONFIRMED = auto()
    ABANDONED = auto()


_TRANSITIONS: Final = {
    (ClientPhase.IDLE, ClientEvent.OFFERED): ClientPhase.AWAITING_ACK,
    (ClientPhase.AWAITING_ACK, ClientEvent.GRANTED): ClientPhase.CONFIRMING,
    (ClientPhase.CONFIRMING, ClientEvent.CONFIRMED): ClientPhase.IDLE,
    (ClientPhase.IDLE, ClientEvent.ABANDONED): ClientPhase.ENDED,
    (ClientPhase.AWAITING_ACK, ClientEvent.ABANDONED): ClientPhase.ENDED,
    (ClientPhase.CONFIRMING, ClientEvent.ABANDONED): ClientPhase.ENDED,
}


@dataclass(slots=True)
class _Pending:
    """An init under way: when it goes out again, after what pause, and how many acks to it were refused."""

    offer: Offer
    carrier_epoch: Epoch
    repeat_at_s: float
    delay_s: float
    refused_acks: int = 0


class ClientRekey:
    """One session's rekey machine at the client.

    ``static`` is the client's own key pair, ``server_public`` the server's static key, ``keys`` those of
    epoch 0. The first rekey is due ``interval_s`` after ``now_s``. ``repeats`` None means what is safe for
    the version and the carrier. ``last_epoch`` is the highest epoch to move to. Times are seconds on one
    monotonic clock.
    """

    __slots__ = (
        "_carrier",
        "_confirm_before_s",
        "_due_at_s",
        "_highest_seen",
        "_interval_s",
        "_last_epoch",
        "_pending",
        "_ping_at_s",
        "_primitives",
        "_repeats",
        "_server_public",
        "_static",
        "_version",
        "current_keys",
        "ignored",
        "phase",
        "refused",
        "send_epoch",
    )

    def __init__(
        self,
        primitives: Primitives,
        static: KeyPair,
        server_public: bytes,
        *,
        version: RekeyVersion,
        carrier: Carrier,
        keys: EpochKeys,
        now_s: float,
        interval_s: float = REKEY_INTERVAL_S,
        repeats: RepeatDelays | None = None,
        last_epoch: Epoch = LAST_EPOCH,
    ) -> None:
        self._primitives = primitives
        self._static = static
        self._server_public = server_public
        self._version = version
        self._carrier = carrier
        self._interval_s = interval_s
        self._repeats = repeats or repeat_delays(version, carrier, interval_s)
        self._last_epoch = last_epoch
        self._due_at_s = now_s + interval_s
        self._ping_at_s = math.inf
        self._confirm_before_s = math.inf
        self._pending: _Pending | None = None
        self._highest_seen = FIRST_EPOCH
        self.phase = ClientPhase.IDLE
        self.send_epoch = FIRST_EPOCH
        self.current_keys = keys  # of the send epoch
        self.ignored = 0  # service packets that meant nothing at their moment
        self.refused = 0  # acks at the right moment that yield no keys

    def next_deadline(self) -> float:
        """When ``handle_timer`` is due next; infinity after the end."""
        match self.phase:
            case ClientPhase.IDLE:
                return self._due_at_s
            case ClientPhase.AWAITING_ACK:
                repeat_at_s = self._pending.repeat_at_s if self._pending else math.inf
                return min(self._due_at_s, repeat_at_s)
            case ClientPhase.CONFIRMING:
                return min(self._due_at_s, self._ping_at_s, self._confirm_before_s)
            case ClientPhase.ENDED:
                return math.inf
            case _:
                assert_never(self.phase)

    def handle_timer(self, now_s: float, entropy: RandomBytes) -> list[Effect]:
        """Whatever is due at ``now_s``. Draws 32 bytes from ``entropy`` if a new init is."""
        is_due = now_s >= self._due_at_s
        if is_due:
            self._due_at_s = now_s + self._interval_s  # whether or not a rekey can begin (specification 5.1)
        match self.phase:
            case ClientPhase.IDLE:
                return self._begin(now_s, entropy) if is_due else []
            case ClientPhase.AWAITING_ACK:
                return self._repeat(now_s)
            case ClientPhase.CONFIRMING:
                return self._press_for_confirmation(now_s)
            case ClientPhase.ENDED:
                return []
            case _:
                assert_never(self.phase)

    def observe(self, epoch: Epoch) -> None:
        """An authenticated frame of ``epoch`` has arrived; of a batch, the highest epoch will do.

        To be called before the frame's own content is handed to ``receive``.
        """
        self._highest_seen = max(self._highest_seen, epoch)
        if self.phase is ClientPhase.CONFIRMING and self._highest_seen >= self.send_epoch:
            self._advance(ClientEvent.CONFIRMED)

    def receive(self, carrier_epoch: Epoch, plaintext_untrusted: bytes, now_s: float) -> list[Effect]:
        """Handle a service packet that an authenticated frame of ``carrier_epoch`` brought."""
        if plaintext_untrusted == EPOCH_EXHAUSTED and self.phase is not ClientPhase.ENDED:
            return self._abandon(RekeyExhausted())
        pending = self._pending
        if pending is None or carrier_epoch != pending.carrier_epoch:
            return self._ignore()
        try:
            body = body_of_untrusted(plaintext_untrusted, self._version.ack_type)
        except MalformedServicePacketError:
            return self._ignore()
        return self._read_ack(pending, body, now_s)

    def _read_ack(self, pending: _Pending, body_untrusted: bytes, now_s: float) -> list[Effect]:
        try:
            keys = pending.offer.keys_from(body_untrusted)
        except RekeyRefusedError:
            self.refused += 1
            pending.refused_acks += 1
            return []
        if self.send_epoch >= self._last_epoch:
            return self._abandon(RekeyExhausted())
        return self._take_over(keys, now_s)

    def _begin(self, now_s: float, entropy: RandomBytes) -> list[Effect]:
        ephemeral_private = entropy(KEY_BYTES)
        offer: Offer
        match self._version:
            case RekeyVersion.V1:
                offer = OfferV1(self._primitives, self.current_keys, ephemeral_private)
            case RekeyVersion.V2:
                offer = OfferV2(
                    self._primitives, self.current_keys, self._static, self._server_public, ephemeral_private
                )
            case _:
                assert_never(self._version)
        delay_s = self._repeats.first_s
        self._pending = _Pending(offer, self.send_epoch, now_s + delay_s, delay_s)
        self._advance(ClientEvent.OFFERED)
        return [SendService(offer.init)]

    def _repeat(self, now_s: float) -> list[Effect]:
        pending = self._pending
        if pending is None or now_s < pending.repeat_at_s:
            return []
        if pending.refused_acks >= REFUSED_ACKS_LIMIT:
            return self._abandon(RekeyDiverged())
        pending.delay_s = self._repeats.after(pending.delay_s)
        pending.repeat_at_s = now_s + pending.delay_s
        return [SendService(pending.offer.init)]

    def _take_over(self, keys: EpochKeys, now_s: float) -> list[Effect]:
        self._pending = None
        self.send_epoch = Epoch(self.send_epoch + 1)
        self.current_keys = keys
        if self._carrier is Carrier.DATAGRAM:
            self._ping_at_s = now_s + CONFIRM_PING_S
        else:
            self._ping_at_s = math.inf  # the one sent now cannot get lost
        self._confirm_before_s = now_s + CONFIRM_WITHIN_S
        self._advance(ClientEvent.GRANTED)
        self.observe(self._highest_seen)
        return [InstallEpoch(self.send_epoch, keys), ActivateEpoch(self.send_epoch), SendService(PING)]

    def _press_for_confirmation(self, now_s: float) -> list[Effect]:
        if now_s >= self._confirm_before_s:
            return self._abandon(RekeyDiverged())
        if now_s < self._ping_at_s:
            return []
        self._ping_at_s = now_s + CONFIRM_PING_S
        return [SendService(PING)]

    def _ignore(self) -> list[Effect]:
        self.ignored += 1
        return []

    def _abandon(self, reason: RekeyExhausted | RekeyDiverged) -> list[Effect]:
        self._pending = None
        self._advance(ClientEvent.ABANDONED)
        return [reason]

    def _advance(self, event: ClientEvent) -> None:
        self.phase = next_phase(_TRANSITIONS, self.phase, event)
