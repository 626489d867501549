"""Carrying out what a rekey machine asks for."""

from collections.abc import Sequence
from typing import assert_never

from application.network.connection.crypto import SessionCrypto
from application.network.connection.egress import Egress
from domain.rekey.effects import (
    ActivateEpoch,
    Effect,
    InstallEpoch,
    RekeyDiverged,
    RekeyExhausted,
    SendService,
)


class RekeyEndedError(Exception):
    """The machine asks for the end of the session; the text says why."""


def carry_out(effects: Sequence[Effect], crypto: SessionCrypto, egress: Egress) -> None:
    """Apply ``effects`` in their order: what is sent between two of them goes out in the epoch of that
    moment.

    Raises RekeyEndedError at an effect that ends a client's session; a server may go on without new keys.
    """
    for effect in effects:
        match effect:
            case SendService():
                egress.send_batch(crypto.seal([effect.plaintext]))
            case InstallEpoch():
                crypto.install(effect.epoch, effect.keys)
            case ActivateEpoch():
                crypto.activate(effect.epoch)
            case RekeyExhausted():
                raise RekeyEndedError("the session has no key generation left")
            case RekeyDiverged():
                raise RekeyEndedError("the two ends no longer agree about the keys")
            case _:
                assert_never(effect)
