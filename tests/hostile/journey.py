"""A tunnel in memory that lives through bad weather while packets go both ways every second.

What the network of the bed does happens at one instant; this adds time: some datagrams arrive seconds late,
in another phase of whatever was going on.
"""

import random
from collections import deque
from typing import Final

from domain.addressing.endpoint import Endpoint
from tests.adapters.udp import FakeMailbox
from tests.application.bed import Bed, ipv4_packet

OUTSIDE: Final = "203.0.113.5"
LONGEST_DELAY_S: Final = 3.0


class LateMail:
    """Holds some of a mailbox's datagrams back and delivers them up to LONGEST_DELAY_S later."""

    def __init__(self, seed: int, chance: float) -> None:
        self._random = random.Random(seed)
        self._chance = chance
        self._held: list[tuple[float, bytes, Endpoint]] = []
        self.late = 0

    def pass_through(self, mailbox: FakeMailbox, now_s: float) -> None:
        """Put what is due into the mailbox, and take out what is to be late."""
        on_time: deque[tuple[bytes, Endpoint]] = deque()
        for datagram, source in mailbox.inbox:
            if self._random.random() < self._chance:
                due_s = now_s + self._random.uniform(0.0, LONGEST_DELAY_S)
                self._held.append((due_s, datagram, source))
                self.late += 1
            else:
                on_time.append((datagram, source))
        on_time.extend((datagram, source) for due_s, datagram, source in self._held if due_s <= now_s)
        self._held = [held for held in self._held if held[0] > now_s]
        mailbox.inbox.clear()
        mailbox.inbox.extend(on_time)


class Direction:
    """Numbered packets one way: what was sent, what arrived, and the longest time without any arrival."""

    def __init__(self, source: str, destination: str, now_s: float) -> None:
        self._source = source
        self._destination = destination
        self._unseen: set[bytes] = set()
        self._heard_at_s = now_s
        self.sent = 0
        self.arrived = 0
        self.longest_stall_s = 0.0

    def next_packet(self) -> bytes:
        """A packet that there has not been before."""
        self.sent += 1
        packet = ipv4_packet(self._source, self._destination, self.sent.to_bytes(8))
        self._unseen.add(packet)
        return packet

    def take(self, written: list[bytes], now_s: float) -> None:
        """Account for what came out of the tunnel. Each packet whole, and once: KeyError otherwise."""
        for packet in written:
            self._unseen.remove(packet)
        if written:
            self.arrived += len(written)
            self._heard_at_s = now_s
            written.clear()
        self.longest_stall_s = max(self.longest_stall_s, now_s - self._heard_at_s)


class Journey:
    """Drives the one client of ``bed`` and its server through time, a packet each way every second."""

    def __init__(self, bed: Bed, seed: int, late: float) -> None:
        self._bed = bed
        (self.client,) = bed.clients
        (self.session,) = bed.server.sessions
        self._to_server = LateMail(seed, late)
        self._to_client = LateMail(seed + 1, late)
        self.up = Direction(self.client.address, OUTSIDE, bed.clock.now_s)
        self.down = Direction(OUTSIDE, self.client.address, bed.clock.now_s)

    @property
    def late(self) -> int:
        """How many datagrams were late so far."""
        return self._to_server.late + self._to_client.late

    def travel(self, seconds: int) -> None:
        """Let time pass. Raises whatever the workers raise."""
        for _ in range(seconds):
            end_s = self._bed.clock.now_s + 1.0
            self._handle_timers_until(end_s)
            self._bed.clock.now_s = end_s
            self.client.tun.route_in(self.up.next_packet())
            self._bed.server.tun.route_in(self.down.next_packet())
            self._exchange()

    def _handle_timers_until(self, end_s: float) -> None:
        workers = (self.client.worker, self._bed.server.worker)
        while True:
            deadlines = [worker.next_deadline_s() for worker in workers]
            due_s = min(deadline for deadline in deadlines if deadline is not None)
            if due_s > end_s:
                return
            self._bed.clock.now_s = max(due_s, self._bed.clock.now_s)
            for worker in workers:
                worker.handle_timer()
            self._exchange()

    def _exchange(self) -> None:
        """Both ends in turn until nothing waits; datagrams that are late stay behind."""
        now_s = self._bed.clock.now_s
        server, client = self._bed.server, self.client
        while True:
            self._to_server.pass_through(server.listener.mailbox, now_s)
            server.drain()
            self._to_client.pass_through(client.transport.mailbox, now_s)
            client.drain()
            if not (server.listener.mailbox.inbox or client.transport.mailbox.inbox):
                break
        self.up.take(server.tun.written, now_s)
        self.down.take(client.tun.written, now_s)
