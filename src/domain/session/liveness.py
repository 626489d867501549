"""Whether the other end is still there (specification 2.7, 4.2).

Nobody says goodbye: a client pings when it hears nothing and gives up after a while, a server forgets
sessions that fell silent. Only authenticated datagrams are a sign of life: anybody can send the others.

Times are seconds on one monotonic clock, handed in by the caller.
"""

from enum import Enum, auto
from typing import Final

# The protocol's (specification 4.2, 9): the client.
PING_AFTER_S: Final = 3.0
DEAD_AFTER_S: Final = 15.0

# Ours: an unanswered ping is repeated this soon. With the Go program's three seconds a path that loses
# every fifth datagram would kill an idle session within the hour; a dozen pings before the end do not all
# get lost.
PING_AGAIN_AFTER_S: Final = 1.0

# Ours: after a change of the network, how soon the server has to be heard again, and how often it is asked
# until then. On a path that loses every fifth datagram, one of four pings and pongs comes through.
PROBE_LIMIT_S: Final = 2.0
PROBE_AGAIN_AFTER_S: Final = 0.5

# Ours: after a refusal, which anybody can forge, how often the server is asked: where every fifth datagram
# gets lost, an attacker has to wait for hours until eight questions have no answer. And how soon after one
# refusal another may have the server asked: a flood of them costs no more pings than silence does.
REFUSED_AGAIN_AFTER_S: Final = 0.25
REFUSAL_PAUSE_S: Final = PING_AFTER_S

# Ours: a server gives a new session the tunnel only when something authentic has come in it, so the first
# ping goes out at once. The Go client waits a second.
FIRST_PING_AFTER_S: Final = 0.0

# The protocol's (specification 2.7, 9): the server over UDP.
SERVER_IDLE_LIMIT_S: Final = 30.0
SERVER_REAPER_PERIOD_S: Final = 10.0


class LivenessAction(Enum):
    """What a client has to do about the silence."""

    SEND_PING = auto()
    DEAD = auto()


class ClientLiveness:
    """A client's watch over its server.

    It pings ``first_ping_after_s`` after the start if nothing arrived, and then after ``ping_after_s`` of
    silence; while a ping is not answered, another follows every ``ping_again_after_s``. After
    ``dead_after_s`` of silence the session is dead, and after a probe or a refusal much sooner.
    """

    __slots__ = (
        "_again_after_s",
        "_dead_after_s",
        "_dead_at_s",
        "_dead_by_silence_at_s",
        "_heeds_refusals_from_s",
        "_ping_after_s",
        "_ping_again_after_s",
        "_ping_at_s",
    )

    def __init__(
        self,
        now_s: float,
        *,
        first_ping_after_s: float = FIRST_PING_AFTER_S,
        ping_after_s: float = PING_AFTER_S,
        ping_again_after_s: float = PING_AGAIN_AFTER_S,
        dead_after_s: float = DEAD_AFTER_S,
    ) -> None:
        self._ping_after_s = ping_after_s
        self._ping_again_after_s = ping_again_after_s
        self._dead_after_s = dead_after_s
        self._again_after_s = ping_again_after_s
        self._heeds_refusals_from_s = now_s
        self._ping_at_s = now_s + first_ping_after_s
        self._dead_by_silence_at_s = self._dead_at_s = now_s + dead_after_s

    def authenticated(self, now_s: float) -> None:
        """At least one authenticated datagram has arrived."""
        self._again_after_s = self._ping_again_after_s
        self._ping_at_s = now_s + self._ping_after_s
        self._dead_by_silence_at_s = self._dead_at_s = now_s + self._dead_after_s

    def probe(self, now_s: float) -> None:
        """The way to the server may be another one: ping at once, and be dead soon if nothing arrives.

        A second probe asks anew, but neither it nor any later one puts off the end after ``dead_after_s``.
        """
        self._heeds_refusals_from_s = max(self._heeds_refusals_from_s, now_s + PROBE_LIMIT_S)
        self._again_after_s = PROBE_AGAIN_AFTER_S
        self._ping_at_s = now_s
        self._dead_at_s = min(now_s + PROBE_LIMIT_S, self._dead_by_silence_at_s)

    def refused(self, now_s: float) -> bool:
        """Somebody says that the server cannot be reached: a probe, if the server is not being asked already.

        Nobody vouches for it, so it is a hint and no more. One that comes while a probe is on, or soon after
        another one, changes nothing: False.
        """
        if now_s < self._heeds_refusals_from_s:
            return False
        self.probe(now_s)
        self._again_after_s = REFUSED_AGAIN_AFTER_S
        self._heeds_refusals_from_s = now_s + REFUSAL_PAUSE_S
        return True

    def handle_timer(self, now_s: float) -> LivenessAction | None:
        """What is due at ``now_s``; None if nothing is. A missed ping is not made up for by two."""
        if now_s >= self._dead_at_s:
            return LivenessAction.DEAD
        if now_s >= self._ping_at_s:
            self._ping_at_s = now_s + self._again_after_s
            return LivenessAction.SEND_PING
        return None

    def next_deadline_s(self) -> float:
        """When ``handle_timer`` is due next, if nothing arrives before."""
        return min(self._ping_at_s, self._dead_at_s)


def is_idle(last_authenticated_s: float, now_s: float, idle_limit_s: float = SERVER_IDLE_LIMIT_S) -> bool:
    """Whether a server should drop a session; to be asked of every session once per reaper period.

    With the defaults a silent session lives for 30 to 40 s.
    """
    return now_s - last_authenticated_s > idle_limit_s
