"""The server's side of a rekey (specification 5.5, server; 10.2).

::

    phase      event                                   next      there
    IDLE       GRANTED     an init was answered        STAGED    receives in the new epoch, sends in the old
    STAGED     ACTIVATED   the send epoch moved on     RETIRING  sends in the new epoch
    RETIRING   CONFIRMED   the client was seen in it   IDLE      ready for the next init

Laws

- The last answered init is remembered by its hash. While its exchange is open (any phase but IDLE) the same
  init in the same carrier epoch gets the same ack again, which stages nothing; every other init is ignored.
- A new init counts only in IDLE and only if the current send epoch carried it. So an init that was
  overtaken by its own exchange, or belongs to an earlier one, changes nothing however late it arrives.
- An exchange once granted is never taken back, and there is no time limit: the epoch number is not on the
  wire, so both ends must count the same exchanges (specification 5.1).
- Over datagrams the send epoch moves on with the first authenticated datagram of the staged epoch, which
  proves that the client got the ack. Over a stream it moves on right behind the ack: nothing can get lost
  there, and no frame of the old epoch follows one of the new.
- A client is never told why it got no answer. Nothing that it sends raises.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from domain.noise.keys import EpochKeys, KeyPair
from domain.noise.primitives import Primitives, RandomBytes
from domain.packets.service import EPOCH_EXHAUSTED, MalformedServicePacketError, body_of_untrusted
from domain.rekey.derivation import RekeyRefusedError, grant
from domain.rekey.effects import ActivateEpoch, Effect, InstallEpoch, RekeyExhausted, SendService
from domain.rekey.rules import LAST_EPOCH, Carrier, RekeyVersion, next_phase
from domain.session.identifiers import FIRST_EPOCH, Epoch


class ServerPhase(Enum):
    """Where the server stands between two epochs."""

    IDLE = auto()
    STAGED = auto()
    RETIRING = auto()


class ServerEvent(Enum):
    """What moves the server on."""

    GRANTED = auto()
    ACTIVATED = auto()
    CONFIRMED = auto()


_TRANSITIONS: Final = {
    (ServerPhase.IDLE, ServerEvent.GRANTED): ServerPhase.STAGED,
    (ServerPhase.STAGED, ServerEvent.ACTIVATED): ServerPhase.RETIRING,
    (ServerPhase.RETIRING, ServerEvent.CONFIRMED): ServerPhase.IDLE,
}


@dataclass(frozen=True, slots=True)
class _Transaction:
    """The last init that was answered, and what with; complete when the phase is IDLE again."""

    init_digest: bytes
    carrier_epoch: Epoch
    ack: bytes = field(repr=False)
    epoch: Epoch
    keys: EpochKeys


class ServerRekey:
    """One session's rekey machine at the server.

    ``static`` is the server's own key pair, ``client_public`` the static key that the session was opened
    with, ``keys`` those of epoch 0. ``still_admitted`` tells whether this client may still have a session;
    it is asked before new keys are granted. ``last_epoch`` is the highest epoch to grant.
    """

    __slots__ = (
        "_carrier",
        "_client_public",
        "_highest_seen",
        "_last_epoch",
        "_primitives",
        "_static",
        "_still_admitted",
        "_transaction",
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
        client_public: bytes,
        *,
        version: RekeyVersion,
        carrier: Carrier,
        keys: EpochKeys,
        still_admitted: Callable[[], bool],
        last_epoch: Epoch = LAST_EPOCH,
    ) -> None:
        self._primitives = primitives
        self._static = static
        self._client_public = client_public
        self._version = version
        self._carrier = carrier
        self._still_admitted = still_admitted
        self._last_epoch = last_epoch
        self._transaction: _Transaction | None = None
        self._highest_seen = FIRST_EPOCH
        self.phase = ServerPhase.IDLE
        self.send_epoch = FIRST_EPOCH
        self.current_keys = keys  # of the send epoch
        self.ignored = 0  # service packets that meant nothing at their moment
        self.refused = 0  # inits at the right moment that yield no keys, or come from a client not admitted

    def observe(self, epoch: Epoch) -> list[Effect]:
        """An authenticated frame of ``epoch`` has arrived; of a batch, the highest epoch will do.

        To be called before the frame's own content is handed to ``receive``.
        """
        self._see(epoch)
        return self._activate(epoch)  # over a stream nothing waits for it

    def receive(self, carrier_epoch: Epoch, plaintext_untrusted: bytes, entropy: RandomBytes) -> list[Effect]:
        """Handle a service packet that an authenticated frame of ``carrier_epoch`` brought.

        Draws 32 bytes from ``entropy`` if it is an init to be answered with new keys.
        """
        try:
            body = body_of_untrusted(plaintext_untrusted, self._version.init_type)
        except MalformedServicePacketError:
            return self._ignore()
        digest = hashlib.sha256(plaintext_untrusted).digest()
        transaction = self._transaction
        if transaction is not None and transaction.init_digest == digest:
            return self._repeat(transaction, carrier_epoch)
        if self.phase is not ServerPhase.IDLE or carrier_epoch != self.send_epoch:
            return self._ignore()
        return self._answer(carrier_epoch, digest, body, entropy)

    def _ignore(self) -> list[Effect]:
        self.ignored += 1
        return []

    def _repeat(self, transaction: _Transaction, carrier_epoch: Epoch) -> list[Effect]:
        if self.phase is ServerPhase.IDLE or carrier_epoch != transaction.carrier_epoch:
            return self._ignore()
        return [SendService(transaction.ack)]

    def _answer(
        self, carrier_epoch: Epoch, digest: bytes, body_untrusted: bytes, entropy: RandomBytes
    ) -> list[Effect]:
        if not self._still_admitted():
            self.refused += 1
            return []
        if self.send_epoch >= self._last_epoch:
            return [SendService(EPOCH_EXHAUSTED), RekeyExhausted()]
        try:
            granted = grant(
                self._primitives,
                self.current_keys,
                body_untrusted,
                entropy,
                version=self._version,
                static=self._static,
                client_public=self._client_public,
            )
        except RekeyRefusedError:
            self.refused += 1
            return []
        epoch = Epoch(self.send_epoch + 1)
        self._transaction = _Transaction(digest, carrier_epoch, granted.ack, epoch, granted.keys)
        self._advance(ServerEvent.GRANTED)
        effects: list[Effect] = [InstallEpoch(epoch, granted.keys), SendService(granted.ack)]
        if self._carrier is Carrier.STREAM:
            effects += self._activate(epoch)
        return effects

    def _activate(self, epoch: Epoch) -> list[Effect]:
        """Send in ``epoch`` if that is exactly the staged one; nothing otherwise."""
        staged = self._transaction
        if self.phase is not ServerPhase.STAGED or staged is None or staged.epoch != epoch:
            return []
        self.send_epoch = epoch
        self.current_keys = staged.keys
        self._advance(ServerEvent.ACTIVATED)
        self._see(self._highest_seen)
        return [ActivateEpoch(epoch)]

    def _see(self, epoch: Epoch) -> None:
        self._highest_seen = max(self._highest_seen, epoch)
        if self.phase is ServerPhase.RETIRING and self._highest_seen >= self.send_epoch:
            self._advance(ServerEvent.CONFIRMED)

    def _advance(self, event: ServerEvent) -> None:
        self.phase = next_phase(_TRANSITIONS, self.phase, event)
