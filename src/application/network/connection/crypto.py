"""Sealing and opening, as the data plane calls them: whole batches, whatever the framing."""

from collections.abc import Sequence
from typing import Protocol

from domain.noise.keys import EpochKeys
from domain.noise.primitives import Buffer
from domain.session.datagram import OpenedBatch
from domain.session.identifiers import Epoch


class SessionCrypto(Protocol):
    """The keys of one session: ``domain.session.datagram.DatagramSession`` for UDP."""

    def seal(self, plaintexts: Sequence[Buffer]) -> list[bytes]:
        """One wire frame per plaintext, in order, in the current send epoch.

        Raises domain.session.nonce.NonceExhaustedError when the epoch has no counter left.
        """
        ...

    def open(self, frames: Sequence[Buffer]) -> OpenedBatch:
        """Authenticate and decrypt; frames that fail are dropped and counted, never raised."""
        ...

    @property
    def send_epoch(self) -> Epoch:
        """The epoch that ``seal`` uses now."""
        ...

    def install(self, epoch: Epoch, keys: EpochKeys) -> None:
        """Accept frames of ``epoch`` from now on. Raises domain.session.epochs.EpochRefusedError."""
        ...

    def activate(self, epoch: Epoch) -> None:
        """Seal in ``epoch`` from now on; it never moves backwards.

        Raises EpochRefusedError if ``epoch`` is a later one that was not installed.
        """
        ...
