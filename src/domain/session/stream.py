"""Sealing and opening the frames of an established session on a byte stream (specification 3.2 to 3.4).

::

    bytes    field
    0..1     length   u16 BE, of all that follows (framing.py)
    2..3     epoch    u16 BE; the body begins here
    4..      ciphertext ‖ tag(16)

The nonce is not sent: a stream keeps its order, so both ends count 1, 2, 3 and so on, per epoch and
direction. Ciphertext and additional data are those of a datagram with the same counter.

Laws

- A stream is whole or over. A frame that does not open means that the two ends no longer count alike, or
  that somebody stands between them: no later frame can be expected to open, and none is tried.
- Two receive epochs at most, the newest and the previous. The previous one goes when we send in the newest
  and have received in it, whichever comes last: the other end has moved on then, and never goes back.
  Nothing counts across epochs: whoever can cut bytes out of the connection can cut off the last frames of an
  epoch unnoticed, as it could lose datagrams. The wire format leaves no remedy.
- What follows a service packet may be sealed with keys that this packet brings. ``open`` goes no further
  than that packet, until its caller has dealt with it and comes again.

``seal`` and ``open`` are the hot path, built like those of ``datagram.py``.
"""

import struct
from collections.abc import Sequence
from typing import Final

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import TAG_BYTES, Aead, Buffer, Primitives
from domain.packets.service import ServicePacketType
from domain.session.epochs import LAST_EPOCH_ON_THE_WIRE, EpochRefusedError
from domain.session.framing import LARGEST_BODY_BYTES, LENGTH_BYTES, LONGEST_LENGTH
from domain.session.identifiers import FIRST_EPOCH, Epoch
from domain.session.nonce import (
    COUNTER_LOW_BITS,
    COUNTER_LOW_MASK,
    NONCE,
    SendCounter,
    SessionError,
    associated_data_prefix,
)
from domain.session.opened import SERVICE_MARK, OpenedBatch, file_marked

FRAME_HEADER: Final = struct.Struct(">HH")  # length, epoch
BODY_HEADER: Final = struct.Struct(">H")  # epoch
BODY_HEADER_BYTES: Final = BODY_HEADER.size
BODY_OVERHEAD_BYTES: Final = BODY_HEADER_BYTES + TAG_BYTES
SMALLEST_BODY_BYTES: Final = BODY_OVERHEAD_BYTES  # around an empty plaintext
FRAME_OVERHEAD_BYTES: Final = LENGTH_BYTES + BODY_OVERHEAD_BYTES

# Behind these the keys are the same as before: no service packet, and those of the keepalive.
_CHANGES_NO_KEYS: Final = frozenset({None, ServicePacketType.PING, ServicePacketType.PONG})


class StreamBrokenError(SessionError):
    """A frame cannot be opened, so the connection has to end; ``reason`` holds nothing secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stream is broken: {reason}")
        self.reason = reason


class StreamCounters:
    """Which frames had nothing to hand on, since the session began."""

    __slots__ = ("empty", "ignored")

    def __init__(self) -> None:
        self.ignored = 0  # too short to be a frame, and passed over by the rules of specification 3.4
        self.empty = 0  # authenticated, with nothing inside


class _ReceiveEpoch:
    """One epoch's opening key, and the counter of the frame that was opened last with it, 0 for none."""

    __slots__ = ("counter", "epoch", "opening")

    def __init__(self, epoch: Epoch, opening: Aead) -> None:
        self.epoch = epoch
        self.opening = opening
        self.counter = 0


class StreamSession:
    """One side of an established session over a byte stream.

    ``role`` is our own; ``keys`` are those of epoch 0; ``largest_body_bytes`` is how much we put into a frame
    at most. Satisfies ``SessionCrypto`` of the application layer. Raises ValueError if ``largest_body_bytes``
    has no room for a packet or is more than a length can say.
    """

    __slots__ = (
        "_broken",
        "_counter",
        "_ignored_below_bytes",
        "_largest_plaintext_bytes",
        "_newest",
        "_previous",
        "_primitives",
        "_receive_prefix",
        "_role",
        "_seal_prefix",
        "_sealing",
        "_send_epoch",
        "_staged",
        "drops",
    )

    def __init__(
        self,
        primitives: Primitives,
        role: Role,
        session_id: SessionId,
        keys: EpochKeys,
        *,
        largest_body_bytes: int = LARGEST_BODY_BYTES,
    ) -> None:
        if not SMALLEST_BODY_BYTES < largest_body_bytes <= LONGEST_LENGTH:
            raise ValueError(f"no frame has room for {largest_body_bytes} bytes and a packet in them")
        self.drops = StreamCounters()
        self._primitives = primitives
        self._role = role
        self._largest_plaintext_bytes = largest_body_bytes - BODY_OVERHEAD_BYTES
        # The Go program's (specification 3.4): both ends pass over what is shorter than a tag, and a server
        # over all that cannot be a frame.
        self._ignored_below_bytes = SMALLEST_BODY_BYTES if role is Role.SERVER else TAG_BYTES
        self._seal_prefix = associated_data_prefix(session_id, role)
        self._receive_prefix = associated_data_prefix(session_id, role.opposite)
        self._newest = _ReceiveEpoch(FIRST_EPOCH, primitives.aead(keys.opening(role)))
        self._previous: _ReceiveEpoch | None = None
        self._staged: Aead | None = None  # seals in the newest epoch, once that is activated
        self._broken: str | None = None  # the reason, once it is
        self._send_in(FIRST_EPOCH, primitives.aead(keys.sealing(role)))

    @property
    def send_epoch(self) -> Epoch:
        """The epoch that ``seal`` uses now."""
        return self._send_epoch

    @property
    def receive_epochs(self) -> tuple[Epoch, ...]:
        """The one or two epochs that ``open`` accepts, oldest first."""
        if self._previous is None:
            return (self._newest.epoch,)
        return (self._previous.epoch, self._newest.epoch)

    def install(self, epoch: Epoch, keys: EpochKeys) -> None:
        """Accept frames of ``epoch`` from now on, beside those of the newest until now.

        Raises EpochRefusedError if ``epoch`` is not newer than all that are held or does not fit its 16 bits,
        and while a previous epoch is still held; then nothing has changed.
        """
        if not self._newest.epoch < epoch <= LAST_EPOCH_ON_THE_WIRE:
            raise EpochRefusedError(epoch, f"it must follow {self._newest.epoch} and fit 16 bits")
        if self._previous is not None:
            raise EpochRefusedError(epoch, f"epoch {self._previous.epoch} is still in use")
        self._previous = self._newest
        self._newest = _ReceiveEpoch(epoch, self._primitives.aead(keys.opening(self._role)))
        self._staged = self._primitives.aead(keys.sealing(self._role))

    def activate(self, epoch: Epoch) -> None:
        """Seal in ``epoch`` from now on, with counters that start at 1.

        It never moves backwards: the current epoch and earlier ones are ignored. Raises EpochRefusedError if
        ``epoch`` is a later one that was not installed.
        """
        if epoch <= self._send_epoch:
            return
        if self._staged is None or epoch != self._newest.epoch:
            raise EpochRefusedError(epoch, "it was not installed")
        self._send_in(epoch, self._staged)
        self._staged = None
        self._retire_previous()

    def _send_in(self, epoch: Epoch, sealing: Aead) -> None:
        self._send_epoch = epoch
        self._sealing = sealing
        self._counter = SendCounter(epoch)

    def _retire_previous(self) -> None:
        """Let the previous epoch and its key go, if both ends have left it (specification 3.3)."""
        if self._newest.counter and self._send_epoch == self._newest.epoch:
            self._previous = None

    def seal(self, plaintexts: Sequence[Buffer]) -> list[bytes]:
        """One frame with its length per plaintext, in order, in the current send epoch.

        All of them must be sent, in this order: the counter of a frame is implied by its place. Empty
        plaintexts should not be among them: a receiver has no use for one. Raises ValueError if one does not
        fit into a frame, and NonceExhaustedError if the epoch has too few counters left for all of them; then
        nothing is sealed and no counter used.
        """
        longest = max(map(len, plaintexts), default=0)
        if longest > self._largest_plaintext_bytes:
            raise ValueError(f"a frame has room for {self._largest_plaintext_bytes} bytes, not {longest}")
        counter = self._counter.reserve(len(plaintexts))
        epoch = self._send_epoch
        prefix = self._seal_prefix
        encrypt = self._sealing.encrypt
        pack_header = FRAME_HEADER.pack
        pack_nonce = NONCE.pack
        frames: list[bytes] = []
        append = frames.append
        for plaintext in plaintexts:
            counter += 1
            nonce = pack_nonce(counter & COUNTER_LOW_MASK, counter >> COUNTER_LOW_BITS, epoch)
            header = pack_header(BODY_OVERHEAD_BYTES + len(plaintext), epoch)
            append(header + encrypt(nonce, plaintext, prefix + nonce))
        return frames

    def open(self, bodies: Sequence[Buffer]) -> OpenedBatch:
        """Authenticate and decrypt bodies, without their lengths, in the order of the stream.

        Stops behind a service packet other than ping and pong: ``consumed`` says how far it got. Carry out
        what the packet asks for, then come again with the rest. The bodies are only read, and not kept.

        Raises StreamBrokenError at the first frame that does not open, and from then on always; what came
        before that frame in the same batch is lost. Bodies that the rules pass over go to ``drops``, and use
        no counter up.
        """
        if self._broken is not None:
            raise StreamBrokenError(self._broken)
        drops = self.drops
        prefix = self._receive_prefix
        failure = self._primitives.authentication_failure
        unpack_header = BODY_HEADER.unpack_from
        pack_nonce = NONCE.pack
        # The newest epoch is where the traffic is; the other one is asked for only when a frame has it.
        held = self._newest
        held_epoch: int = held.epoch
        decrypt, counter = held.opening.decrypt, held.counter
        highest_epoch = -1
        authenticated, consumed = 0, len(bodies)
        packets: list[bytes] = []
        service: list[tuple[Epoch, bytes]] = []
        for index, body in enumerate(bodies):
            if len(body) < SMALLEST_BODY_BYTES:
                self._pass_over(len(body))
                continue
            (epoch,) = unpack_header(body)
            if epoch != held_epoch:
                held.counter = counter
                held = self._find(epoch)
                held_epoch = epoch
                decrypt, counter = held.opening.decrypt, held.counter
            counter += 1
            try:
                nonce = pack_nonce(counter & COUNTER_LOW_MASK, counter >> COUNTER_LOW_BITS, epoch)
                plaintext = decrypt(nonce, body[BODY_HEADER_BYTES:], prefix + nonce)
            except failure as exc:
                raise self._break(f"a frame of epoch {epoch} is not authentic or not the next") from exc
            except struct.error as exc:  # one more than the nonce has bits for
                raise self._break(f"epoch {epoch} has no counter left") from exc
            authenticated += 1
            if epoch > highest_epoch:
                highest_epoch = epoch
                held.counter = counter
                self._retire_previous()
            if plaintext and plaintext[0] != SERVICE_MARK:
                packets.append(plaintext)
            elif not plaintext:
                drops.empty += 1
            elif file_marked(plaintext, epoch, packets, service) not in _CHANGES_NO_KEYS:
                consumed = index + 1
                break
        held.counter = counter
        return OpenedBatch(
            packets=packets,
            service=service,
            authenticated=authenticated,
            highest_epoch=Epoch(highest_epoch) if authenticated else None,
            newest=-1,
            consumed=consumed,
        )

    def _find(self, epoch: int) -> _ReceiveEpoch:
        """The keys of ``epoch``, straight from the wire. Raises StreamBrokenError if they are not held."""
        if epoch == self._newest.epoch:
            return self._newest
        if self._previous is not None and epoch == self._previous.epoch:
            return self._previous
        raise self._break(f"a frame of epoch {epoch}, which is not in use")

    def _pass_over(self, size: int) -> None:
        """A body too short to be a frame. Raises StreamBrokenError unless the rules allow it."""
        if size >= self._ignored_below_bytes:
            raise self._break(f"a frame of {size} bytes is too short")
        self.drops.ignored += 1

    def _break(self, reason: str) -> StreamBrokenError:
        """No frame is opened any more; returns the error that says so."""
        self._broken = reason
        return StreamBrokenError(reason)
