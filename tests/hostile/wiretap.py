"""Somebody on the path who knows a whole conversation and slips datagrams in between, or holds them back.

The bed is deterministic: two conversations that are driven alike consist of the same bytes, so what is said
in one can be repeated and mutilated in the other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from tests.adapters.udp import FakeMailbox, FakeNetwork


@dataclass(frozen=True, slots=True)
class Said:
    """One datagram of a conversation."""

    datagram: bytes
    source: Endpoint
    to: Endpoint


class TappedNetwork(FakeNetwork):
    """Writes down what is sent; before message number ``moment`` it delivers what the hostile one adds.

    The additions come, as far as the receiver can see, from where the message comes from.
    """

    def __init__(self, moment: int = -1, additions: Callable[[Said], Iterable[bytes]] | None = None) -> None:
        super().__init__()
        self.said: list[Said] = []
        self.added = 0
        self._moment = moment
        self._additions = additions

    def send(self, datagram: Buffer, sender: FakeMailbox, to: Endpoint) -> bool:
        message = Said(bytes(datagram), sender.endpoint, to)
        self.said.append(message)
        if self._additions is not None and len(self.said) - 1 == self._moment:
            for addition in self._additions(message):
                self.added += 1
                super().send(addition, sender, to)
        return super().send(datagram, sender, to)


class DelayingNetwork(FakeNetwork):
    """Delivers message number ``moment`` only after ``overtaken_by`` more have gone the same way."""

    def __init__(self, moment: int, overtaken_by: int) -> None:
        super().__init__()
        self._before_moment = moment
        self._to_wait_for = overtaken_by
        self._held: tuple[bytes, FakeMailbox, Endpoint] | None = None

    def send(self, datagram: Buffer, sender: FakeMailbox, to: Endpoint) -> bool:
        self._before_moment -= 1
        if self._before_moment == -1:
            self._held = bytes(datagram), sender, to
            return True
        sent = super().send(datagram, sender, to)
        if self._held is not None and sender is self._held[1]:
            self._to_wait_for -= 1
            if self._to_wait_for == 0:
                super().send(*self._held)
        return sent


def truncations(datagram: bytes) -> Iterable[bytes]:
    """Cut off behind every byte but the last, the empty datagram included."""
    return (datagram[:length] for length in range(len(datagram)))


def flips(datagram: bytes) -> Iterable[bytes]:
    """With one bit of every byte turned over, the lowest and the highest."""
    for position, byte in enumerate(datagram):
        for bit in (0x01, 0x80):
            yield datagram[:position] + bytes([byte ^ bit]) + datagram[position + 1 :]
