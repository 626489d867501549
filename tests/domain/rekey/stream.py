"""The frames of a stream, reduced to what a rekey sees of them (specification 3.2, 3.3).

Satisfies the sealing and opening port of the application layer, with August's two receive epochs: the
previous one goes when we send in the newest and have received in it. A frame that does not open breaks the
stream.
"""

from collections.abc import Sequence
from struct import Struct

from application.network.connection.crypto import SessionCrypto
from domain.noise.keys import EpochKeys, Role
from domain.noise.primitives import Aead, Buffer, Primitives
from domain.packets.service import SERVICE_PREFIX
from domain.session.datagram import OpenedBatch
from domain.session.identifiers import FIRST_EPOCH, Epoch

_PREFIX = Struct(">H")
_NONCE = Struct(">QHH")


class StreamBrokenError(Exception):
    """A frame of an unknown epoch, out of order, or forged: the connection is lost."""


class StreamFrames:
    """One end of a stream."""

    def __init__(self, primitives: Primitives, role: Role, keys: EpochKeys) -> None:
        self._primitives = primitives
        self._role = role
        self._opening: dict[Epoch, Aead] = {FIRST_EPOCH: primitives.aead(keys.opening(role))}
        self._received: dict[Epoch, int] = {FIRST_EPOCH: 0}
        self._sealing: dict[Epoch, Aead] = {FIRST_EPOCH: primitives.aead(keys.sealing(role))}
        self._sent = 0
        self._send_epoch = FIRST_EPOCH

    @property
    def send_epoch(self) -> Epoch:
        return self._send_epoch

    @property
    def receive_epochs(self) -> tuple[Epoch, ...]:
        return tuple(self._opening)

    def install(self, epoch: Epoch, keys: EpochKeys) -> None:
        if len(self._opening) > 1:
            raise StreamBrokenError("a previous epoch is still held")
        self._opening[epoch] = self._primitives.aead(keys.opening(self._role))
        self._sealing[epoch] = self._primitives.aead(keys.sealing(self._role))
        self._received[epoch] = 0

    def activate(self, epoch: Epoch) -> None:
        self._send_epoch = epoch
        self._sent = 0
        self._retire()

    def _retire(self) -> None:
        newest = max(self._opening)
        if self._send_epoch == newest and self._received[newest]:
            self._opening = {newest: self._opening[newest]}

    def seal(self, plaintexts: Sequence[Buffer]) -> list[bytes]:
        frames: list[bytes] = []
        for plaintext in plaintexts:
            self._sent += 1
            nonce = _NONCE.pack(self._sent, 0, self._send_epoch)
            sealed = self._sealing[self._send_epoch].encrypt(nonce, plaintext, self._role.value)
            frames.append(_PREFIX.pack(self._send_epoch) + sealed)
        return frames

    def open(self, frames: Sequence[Buffer]) -> OpenedBatch:
        packets: list[bytes] = []
        service: list[tuple[Epoch, bytes]] = []
        highest: Epoch | None = None
        for frame in frames:
            epoch = Epoch(_PREFIX.unpack_from(frame)[0])
            opening = self._opening.get(epoch)
            if opening is None:
                raise StreamBrokenError(f"epoch {epoch} is not one of {self.receive_epochs}")
            nonce = _NONCE.pack(self._received[epoch] + 1, 0, epoch)
            try:
                plaintext = opening.decrypt(nonce, bytes(frame)[_PREFIX.size :], self._role.opposite.value)
            except self._primitives.authentication_failure as exc:
                raise StreamBrokenError(f"a frame of epoch {epoch} does not open") from exc
            self._received[epoch] += 1
            highest = epoch if highest is None else max(highest, epoch)
            if plaintext.startswith(SERVICE_PREFIX):
                service.append((epoch, plaintext))
            else:
                packets.append(plaintext)
            self._retire()
        return OpenedBatch(packets, service, len(frames), highest, -1)


_: type[SessionCrypto] = StreamFrames
