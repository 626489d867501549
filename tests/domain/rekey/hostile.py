"""A datagram path that loses, delays, overtakes, doubles and damages, the same way for the same seed."""

import heapq
import random
from dataclasses import dataclass

# Every datagram is there or gone after this long; what is in flight is never older.
LONGEST_DELAY_S = 3.0
USUAL_DELAY_S = 0.05

HEADER_BYTES = (
    20  # damage in clear would only make it another unknown datagram; behind it, it must fail the tag
)


@dataclass(frozen=True)
class Chances:
    """Of each datagram, independently."""

    lost: float = 0.2
    doubled: float = 0.1
    late: float = 0.1
    damaged: float = 0.05


class HostilePath:
    """One direction."""

    def __init__(self, seed: int, chances: Chances) -> None:
        self._random = random.Random(seed)
        self._in_flight: list[tuple[float, int, bytes]] = []
        self._sent = 0
        self.chances = chances
        self.damaged = 0

    def send(self, datagrams: list[bytes], now_s: float) -> None:
        """Put datagrams on the way."""
        for datagram in datagrams:
            copies = 2 if self._happens(self.chances.doubled) else 1
            for _ in range(copies):
                if not self._happens(self.chances.lost):
                    self._launch(datagram, now_s)

    def _launch(self, datagram: bytes, now_s: float) -> None:
        if self._happens(self.chances.damaged):
            self.damaged += 1
            position = self._random.randrange(HEADER_BYTES, len(datagram))
            flipped = datagram[position] ^ (1 << self._random.randrange(8))
            datagram = datagram[:position] + bytes([flipped]) + datagram[position + 1 :]
        longest_s = LONGEST_DELAY_S if self._happens(self.chances.late) else USUAL_DELAY_S
        self._sent += 1
        arrival_s = now_s + self._random.uniform(USUAL_DELAY_S / 5, longest_s)
        heapq.heappush(self._in_flight, (arrival_s, self._sent, datagram))

    def _happens(self, chance: float) -> bool:
        return self._random.random() < chance

    def next_arrival_s(self) -> float:
        """When something arrives next; infinity if nothing is in flight."""
        return self._in_flight[0][0] if self._in_flight else float("inf")

    def arrived(self, now_s: float) -> list[bytes]:
        """What has arrived by now."""
        datagrams = []
        while self._in_flight and self._in_flight[0][0] <= now_s:
            datagrams.append(heapq.heappop(self._in_flight)[2])
        return datagrams
