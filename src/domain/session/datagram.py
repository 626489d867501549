"""Sealing and opening the datagrams of an established session (specification 2.1 to 2.4).

A datagram is ``header(20) ‖ ciphertext ‖ tag(16)``; ``nonce.py`` draws the header. The additional data is
``session id(32) ‖ direction(16) ‖ nonce(12)``: it ties a datagram to its session, its sender and its counter.

``seal`` and ``open`` are the hot path of the program. They run over whole batches, look attributes up once
per batch, and spend one ``struct`` call and one AEAD call per datagram. A datagram that fails is
dropped in silence: an answer, or the end of the session, would be a gift to whoever forged it.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Buffer, Primitives
from domain.session.epochs import EpochRefusedError, EpochRing
from domain.session.identifiers import FIRST_EPOCH, ROUTE_ID_BYTES, Epoch, RouteId, route_id_of
from domain.session.nonce import (
    COUNTER_LOW_BITS,
    COUNTER_LOW_MASK,
    DATAGRAM_HEADER,
    DATAGRAM_OVERHEAD_BYTES,
    LAST_COUNTER_HIGH,
    NONCE,
    SendCounter,
    associated_data_prefix,
)
from domain.session.opened import SERVICE_MARK, OpenedBatch, file_marked

HEADER_BYTES: Final = DATAGRAM_HEADER.size
SMALLEST_DATAGRAM_BYTES: Final = DATAGRAM_OVERHEAD_BYTES  # around an empty plaintext


class DropCounters:
    """Why datagrams were dropped, since the session began."""

    __slots__ = ("empty", "malformed", "replayed", "unauthenticated", "unknown_epoch", "wrong_route")

    def __init__(self) -> None:
        self.malformed = 0  # too short to be a datagram
        self.wrong_route = 0  # another session's route id
        self.unknown_epoch = 0  # no longer, or not yet, in the ring
        self.replayed = 0  # received before, or too old to know, or with a counter that this peer never has
        self.unauthenticated = 0  # the tag does not fit
        self.empty = 0  # authenticated, with nothing inside

    @property
    def refused(self) -> int:
        """All that were not authentic, or no longer."""
        return self.malformed + self.wrong_route + self.unknown_epoch + self.replayed + self.unauthenticated


class DatagramSession:
    """One side of an established session over datagrams.

    ``role`` is our own; ``keys`` are those of epoch 0. Satisfies ``SessionCrypto`` of the application layer.
    """

    # The last value of counter high that ``seal`` may reach and ``open`` accepts.
    LAST_HIGH: ClassVar[int] = LAST_COUNTER_HIGH

    __slots__ = (
        "_counter",
        "_newest",
        "_primitives",
        "_receive_prefix",
        "_ring",
        "_role",
        "_seal_prefix",
        "_sealing",
        "_send_epoch",
        "_staged",
        "drops",
        "route_id",
    )

    def __init__(self, primitives: Primitives, role: Role, session_id: SessionId, keys: EpochKeys) -> None:
        self.route_id: RouteId = route_id_of(session_id)
        self.drops = DropCounters()
        self._primitives = primitives
        self._role = role
        self._seal_prefix = associated_data_prefix(session_id, role)
        self._receive_prefix = associated_data_prefix(session_id, role.opposite)
        self._ring = EpochRing(FIRST_EPOCH, primitives.aead(keys.opening(role)))
        self._newest = (0, 0, -1)  # epoch, counter high, counter low; nothing received yet is below counter 0
        self._staged: dict[Epoch, EpochKeys] = {}  # installed, not yet activated
        self._send_in(FIRST_EPOCH, keys)

    @property
    def send_epoch(self) -> Epoch:
        """The epoch that ``seal`` uses now."""
        return self._send_epoch

    @property
    def receive_epochs(self) -> tuple[Epoch, ...]:
        """The epochs that ``open`` accepts, oldest first."""
        return self._ring.epochs

    def install(self, epoch: Epoch, keys: EpochKeys) -> None:
        """Accept datagrams of ``epoch`` from now on, and be ready to send in it.

        Raises EpochRefusedError as ``EpochRing.stage`` does; then nothing has changed.
        """
        opening = self._primitives.aead(keys.opening(self._role))
        self._ring.stage(epoch, opening, self._send_epoch)
        self._staged[epoch] = keys

    def activate(self, epoch: Epoch) -> None:
        """Seal in ``epoch`` from now on, with counters that start at 1.

        It never moves backwards: the current epoch and earlier ones are ignored. Raises EpochRefusedError if
        ``epoch`` is a later one that was not installed.
        """
        if epoch <= self._send_epoch:
            return
        keys = self._staged.get(epoch)
        if keys is None:
            raise EpochRefusedError(epoch, "it was not installed")
        # Whatever was staged before it can never be activated any more: its keys are let go.
        self._staged = {later: its_keys for later, its_keys in self._staged.items() if later > epoch}
        self._send_in(epoch, keys)

    def _send_in(self, epoch: Epoch, keys: EpochKeys) -> None:
        self._send_epoch = epoch
        self._sealing = self._primitives.aead(keys.sealing(self._role))
        self._counter = SendCounter(epoch, end=(self.LAST_HIGH + 1 << COUNTER_LOW_BITS) - 1)

    def seal(self, plaintexts: Sequence[Buffer]) -> list[bytes]:
        """One datagram per plaintext, in order, in the current send epoch.

        The plaintexts should not be empty: servers drop such datagrams. Raises NonceExhaustedError, and seals
        nothing, if the epoch has too few counters left for all of them.
        """
        counter = self._counter.reserve(len(plaintexts))
        epoch = self._send_epoch
        route_id = self.route_id
        prefix = self._seal_prefix
        encrypt = self._sealing.encrypt
        pack_nonce = NONCE.pack
        datagrams: list[bytes] = []
        append = datagrams.append
        for plaintext in plaintexts:
            counter += 1
            nonce = pack_nonce(counter & COUNTER_LOW_MASK, counter >> COUNTER_LOW_BITS, epoch)
            append(route_id + nonce + encrypt(nonce, plaintext, prefix + nonce))
        return datagrams

    def open(self, datagrams: Sequence[Buffer]) -> OpenedBatch:
        """Authenticate and decrypt, cheapest check first (specification 2.2); failures go to ``drops``.

        The datagrams are only read, and not kept: views into receive buffers will do.
        """
        drops = self.drops
        route_id = self.route_id
        prefix = self._receive_prefix
        failure = self._primitives.authentication_failure
        unpack_header = DATAGRAM_HEADER.unpack_from
        # The newest epoch is where the traffic is; the ring is asked only when a datagram has another one.
        held, last_high = self._ring.newest, self.LAST_HIGH
        held_epoch: int = held.epoch
        decrypt, is_fresh, accept = held.opening.decrypt, held.window.is_fresh, held.window.accept
        newest_epoch, newest_high, newest_low = self._newest
        authenticated, highest_epoch, newest = 0, -1, -1
        packets: list[bytes] = []
        service: list[tuple[Epoch, bytes]] = []
        for index, datagram in enumerate(datagrams):
            if len(datagram) < SMALLEST_DATAGRAM_BYTES:
                drops.malformed += 1
                continue
            route, low, high, epoch = unpack_header(datagram)
            if route != route_id:
                drops.wrong_route += 1
                continue
            if epoch != held_epoch:
                found = self._ring.find(epoch)
                if found is None:
                    drops.unknown_epoch += 1
                    continue
                held_epoch = epoch
                decrypt, is_fresh, accept = found.opening.decrypt, found.window.is_fresh, found.window.accept
            if high > last_high or not is_fresh(high, low):
                drops.replayed += 1
                continue
            nonce = datagram[ROUTE_ID_BYTES:HEADER_BYTES]
            try:
                plaintext = decrypt(nonce, datagram[HEADER_BYTES:], prefix + nonce)
            except failure:
                drops.unauthenticated += 1
                continue
            # Only now: a forged counter must not move the window, the newest counter or the epoch.
            accept(high, low)
            authenticated += 1
            if epoch > highest_epoch:  # noqa: PLR1730 - a call of max() costs four times as much
                highest_epoch = epoch
            # First the case of every datagram in order, then the others, which cost two tuples.
            if (low > newest_low and high == newest_high and epoch == newest_epoch) or (
                (epoch, high, low) > (newest_epoch, newest_high, newest_low)
            ):
                newest_epoch, newest_high, newest_low = epoch, high, low
                newest = index
            if plaintext and plaintext[0] != SERVICE_MARK:
                packets.append(plaintext)
            elif plaintext:
                file_marked(plaintext, epoch, packets, service)
            else:
                drops.empty += 1
        self._newest = (newest_epoch, newest_high, newest_low)
        return OpenedBatch(
            packets=packets,
            service=service,
            authenticated=authenticated,
            highest_epoch=Epoch(highest_epoch) if authenticated else None,
            newest=newest,
            consumed=len(datagrams),
        )
