"""A client's side of everything in a session that is not an IP packet."""

from typing import Final

from application.network.connection.crypto import ParcelCrypto
from application.network.connection.egress import Egress
from application.network.connection.losses import report_losses
from application.network.connection.rekeying import RekeyEndedError, carry_out
from application.network.routing.worker import SessionEndedError
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from domain.packets.service import PING, ServicePacketType, type_of_untrusted
from domain.rekey.client import ClientRekey
from domain.rekey.effects import Effect
from domain.session.liveness import ClientLiveness, LivenessAction
from domain.session.opened import OpenedParcels
from domain.session.suspend import SuspendWatch

# Ours: how soon after a resume the client notices it.
SUSPEND_CHECK_S: Final = 1.0

_KEEPALIVE: Final = frozenset({ServicePacketType.PING, ServicePacketType.PONG})


class NetworkChangedError(SessionEndedError):
    """The network is another one, and the session did not survive it: connecting anew need not wait."""


class ClientControl:
    """Keeps a session alive and its keys fresh; ends it when that cannot be done.

    Every method may send, and raises SessionEndedError when the client should connect anew.
    """

    def __init__(
        self,
        *,
        crypto: ParcelCrypto,
        egress: Egress,
        liveness: ClientLiveness,
        rekey: ClientRekey,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._crypto = crypto
        self._egress = egress
        self._liveness = liveness
        self._rekey = rekey
        self._clock = clock
        self._entropy = entropy
        now_s = clock.monotonic_s()
        self._suspend = SuspendWatch(monotonic_s=now_s, boottime_s=clock.boottime_s())
        self._next_suspend_check_s = now_s + SUSPEND_CHECK_S
        self._suspicion: SessionEndedError | None = None  # what silence after a probe would mean

    def observe(self, opened: OpenedParcels) -> None:
        """Take note of what was opened, whose service packets are dealt with here."""
        if opened.highest_epoch is None:
            return
        now_s = self._clock.monotonic_s()
        self._liveness.authenticated(now_s)
        self._suspicion = None
        self._rekey.observe(opened.highest_epoch)
        for epoch, plaintext in opened.service:
            if type_of_untrusted(plaintext) not in _KEEPALIVE:
                self._carry_out(self._rekey.receive(epoch, plaintext, now_s))
        report_losses(self._crypto, self._egress, now_s)

    def probe(self) -> None:
        """The network has changed: ask the server at once, and end the session soon if nothing is heard."""
        self._liveness.probe(self._clock.monotonic_s())
        self._suspicion = NetworkChangedError("the network has changed")
        self.handle_timer()

    def refused(self, what: str) -> None:
        """The network says ``what`` of the path: ask the server, and end the session soon if it is true."""
        if self._liveness.refused(self._clock.monotonic_s()):
            self._suspicion = SessionEndedError(what)
            self.handle_timer()

    def handle_timer(self) -> None:
        """Whatever is due."""
        now_s = self._clock.monotonic_s()
        self._check_suspend(now_s)
        match self._liveness.handle_timer(now_s):
            case LivenessAction.SEND_PING:
                self._egress.send_batch(self._crypto.seal([PING]))
            case LivenessAction.DEAD:
                raise self._suspicion or SessionEndedError(
                    "nothing authentic came from the server for too long"
                )
            case None:
                pass
        if now_s >= self._rekey.next_deadline():
            self._carry_out(self._rekey.handle_timer(now_s, self._entropy.random_bytes))

    def next_deadline_s(self) -> float:
        """When ``handle_timer`` is due, on the monotonic clock."""
        return min(self._liveness.next_deadline_s(), self._rekey.next_deadline(), self._next_suspend_check_s)

    def _check_suspend(self, now_s: float) -> None:
        if now_s < self._next_suspend_check_s:
            return
        self._next_suspend_check_s = now_s + SUSPEND_CHECK_S
        if self._suspend.has_slept(monotonic_s=now_s, boottime_s=self._clock.boottime_s()):
            # The server has forgotten us if it was long, and the network may be another one.
            raise SessionEndedError("this host was suspended")

    def _carry_out(self, effects: list[Effect]) -> None:
        try:
            carry_out(effects, self._crypto, self._egress)
        except RekeyEndedError as error:
            raise SessionEndedError(str(error)) from error
