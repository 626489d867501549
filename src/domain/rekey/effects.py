"""What a rekey machine asks of the shell that drives it (specification 5).

The shell applies a list of effects in its order, all of it before it opens another frame of this session:
on a stream the frame right behind an ack may already be sealed with the new keys, and an ack sent after an
``ActivateEpoch`` instead of before it would travel in an epoch in which its receiver does not look for it.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from domain.noise.keys import EpochKeys
from domain.session.identifiers import Epoch


@dataclass(frozen=True, slots=True)
class SendService:
    """Seal ``plaintext``, a whole service packet, in the send epoch of this moment and send it."""

    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class InstallEpoch:
    """Accept frames of ``epoch`` from now on; go on sending in the present one."""

    epoch: Epoch
    keys: EpochKeys


@dataclass(frozen=True, slots=True)
class ActivateEpoch:
    """Send in ``epoch``, which was installed before, from now on and never in an earlier one again."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RekeyExhausted:
    """This session has no epoch number left.

    At a client: end the session and connect anew. At a server: nothing more to do, ``EpochExhausted`` went
    out as a ``SendService``; the session goes on until the client leaves it (specification 4.3).
    """


@dataclass(frozen=True, slots=True)
class RekeyDiverged:
    """The two ends no longer agree about the keys and cannot find back; only clients notice.

    End the session and connect anew.
    """


Effect: TypeAlias = SendService | InstallEpoch | ActivateEpoch | RekeyExhausted | RekeyDiverged
