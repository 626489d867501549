"""Recognising a message 1 that was accepted before.

Noise IK cannot: message 1 carries neither a time nor anything of the server's. Whoever records one can send
it again, and each acceptance costs the server a Diffie-Hellman and a place among the peer's waiting
sessions. An honest client never sends the same ephemeral key twice.
"""

from collections import OrderedDict
from typing import Final

# Ours: a recording comes back unnoticed only after this many other handshakes, about 1 MiB. Refused replays
# do not count, so that who has few recordings cannot wash them out.
REMEMBERED: Final = 8_192

_DIGEST_BYTES: Final = 16


class AcceptedEphemerals:
    """The ephemeral public keys of the last accepted handshakes."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, ephemeral_public: bytes) -> bool:
        return ephemeral_public[:_DIGEST_BYTES] in self._seen

    def add(self, ephemeral_public: bytes) -> None:
        """Remember one more, and forget the oldest if there are too many."""
        self._seen[ephemeral_public[:_DIGEST_BYTES]] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
