"""What a handshake leaves behind: the session id and the keys of an epoch (protocol specification 1.5)."""

from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

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
