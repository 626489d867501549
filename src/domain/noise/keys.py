"""What a handshake needs and leaves behind: key pairs, the session id, the keys of an epoch.

Protocol specification 1.5.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

from domain.noise.primitives import KEY_BYTES, Primitives

# The Noise handshake hash after message 2, 32 bytes; constant for the life of the session.
SessionId = NewType("SessionId", bytes)


class Role(Enum):
    """Which end of the session this is; the value names the direction in which it sends.

    The value is part of the additional data of every frame it seals: 16 ASCII bytes (specification 2.1).
    """

    CLIENT = b"client-to-server"
    SERVER = b"server-to-client"

    @property
    def opposite(self) -> "Role":
        """The role of the other end."""
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An X25519 key pair, 32 bytes each. That the two belong together is the caller's word.

    Raises ValueError when a key has another length.
    """

    private: bytes = field(repr=False)
    public: bytes

    def __post_init__(self) -> None:
        if len(self.private) != KEY_BYTES or len(self.public) != KEY_BYTES:
            raise ValueError(f"X25519 keys have {KEY_BYTES} bytes")

    @classmethod
    def from_private(cls, primitives: Primitives, private: bytes) -> "KeyPair":
        """The pair of a private key; 32 fresh random bytes make a new pair."""
        if len(private) != KEY_BYTES:
            raise ValueError(f"X25519 keys have {KEY_BYTES} bytes")
        return cls(private, primitives.public_key(private))


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """The two keys of one epoch, 32 bytes each, named for the direction that they protect."""

    client_to_server: bytes = field(repr=False)
    server_to_client: bytes = field(repr=False)

    def sealing(self, role: Role) -> bytes:
        """The key under which ``role`` sends."""
        return self.client_to_server if role is Role.CLIENT else self.server_to_client

    def opening(self, role: Role) -> bytes:
        """The key under which ``role`` receives."""
        return self.sealing(role.opposite)
