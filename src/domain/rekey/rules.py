"""What both rekey machines go by: versions, carriers, limits, and when an init may be repeated.

Errors of this folder::

    RekeyError
    ├── RekeyRefusedError     a peer's message yields no keys (derivation.py); never leaves this folder
    └── IllegalEventError     a machine was driven through a transition that its table does not have
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeVar

from domain.packets.service import ServicePacketType
from domain.session.identifiers import Epoch
from domain.session.liveness import DEAD_AFTER_S

# The protocol's (specification 5.1; 5.7: the highest epoch that August and March both use).
REKEY_INTERVAL_S: Final = 120.0
LAST_EPOCH: Final = Epoch(64999)

# Ours. An init that an idempotent server did not answer was probably lost, or its ack was: a second is more
# than a round trip takes, and after five tries there is a reason other than loss, which does not deserve
# haste.
FIRST_REPEAT_S: Final = 1.0
LAST_REPEAT_S: Final = 16.0

# Ours. Until the server has seen the new epoch it sends in the old one, and a March server forgets the new
# epoch after 5 s (specification 5.6): this leaves it four pings within that time.
CONFIRM_PING_S: Final = 1.0

# Ours. A server that is alive but has shown nothing of the new epoch for this long cannot read what we
# send. The keepalive would not notice, as long as anything comes down in the old epoch.
CONFIRM_WITHIN_S: Final = DEAD_AFTER_S

# Ours. One ack that yields no keys may be a defect of the moment, a third to the same init is not.
REFUSED_ACKS_LIMIT: Final = 3


class RekeyVersion(Enum):
    """Which exchange a session uses for all its life: V2 exactly if both ends advertised it.

    Specification 1.2. V1 means that the server is a March server, or behaves like one: August servers
    always select what our client advertises.
    """

    V1 = auto()
    V2 = auto()

    @property
    def init_type(self) -> ServicePacketType:
        """The service packet in which a client asks for new keys."""
        return ServicePacketType.REKEY_INIT_V1 if self is RekeyVersion.V1 else ServicePacketType.REKEY_INIT_V2

    @property
    def ack_type(self) -> ServicePacketType:
        """The service packet in which a server grants them."""
        return ServicePacketType.REKEY_ACK_V1 if self is RekeyVersion.V1 else ServicePacketType.REKEY_ACK_V2


class Carrier(Enum):
    """What carries the frames of a session."""

    DATAGRAM = auto()  # UDP: frames may be lost, doubled and overtaken
    STREAM = auto()  # TCP, WebSocket: frames arrive in order, or the connection ends


@dataclass(frozen=True, slots=True)
class RepeatDelays:
    """Seconds from one sending of an unanswered init to the next.

    ``first_s`` at first, doubled each time up to ``last_s``.
    """

    first_s: float
    last_s: float

    def after(self, delay_s: float) -> float:
        """The delay that follows ``delay_s``."""
        return min(delay_s * 2, self.last_s)


def repeat_delays(version: RekeyVersion, carrier: Carrier, interval_s: float) -> RepeatDelays:
    """How often an unanswered init may be repeated without harm, whichever Go server it is.

    Specification 5.6. V2 over datagrams: soon, for the server gives the same answer again. V1 over
    datagrams: at the next interval and no earlier, for a March server gives a second answer, with other
    keys under the same epoch number, as soon as it has forgotten the first. V2 over a stream: at the next
    interval, as August does; nothing is ever lost there. V1 over a stream: never, a March server would be
    one epoch ahead of us for good.
    """
    match version, carrier:
        case RekeyVersion.V2, Carrier.DATAGRAM:
            return RepeatDelays(FIRST_REPEAT_S, LAST_REPEAT_S)
        case RekeyVersion.V1, Carrier.STREAM:
            return RepeatDelays(math.inf, math.inf)
        case _:
            return RepeatDelays(interval_s, interval_s)


class RekeyError(Exception):
    """A rekey machine cannot do what it was asked."""


class IllegalEventError(RekeyError):
    """A machine was driven wrongly by its own code; nothing that a peer sends leads here."""

    def __init__(self, phase: Enum, event: Enum) -> None:
        super().__init__(f"{event.name} cannot happen in phase {phase.name}")
        self.phase = phase
        self.event = event


_Phase = TypeVar("_Phase", bound=Enum)
_Event = TypeVar("_Event", bound=Enum)


def next_phase(transitions: Mapping[tuple[_Phase, _Event], _Phase], phase: _Phase, event: _Event) -> _Phase:
    """Where ``event`` leads. Raises IllegalEventError if the table has no such transition."""
    successor = transitions.get((phase, event))
    if successor is None:
        raise IllegalEventError(phase, event)
    return successor
